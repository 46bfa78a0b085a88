// How large a task and its experience may be, wherever that is checked: where they are made, and
// where a broker or a learner takes them. (Limits of calls as such: common/rpc/limits.h.)
#ifndef BACKFLIP_COMMON_EXPERIENCE_LIMITS_H_
#define BACKFLIP_COMMON_EXPERIENCE_LIMITS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace backflip::experience {

// What a single message carries whole (clips of an upload, a rollout, a scene): the rest of
// rpc::kMaxMessageBytes is left for what stands beside it.
inline constexpr int64_t kMaxPayloadBytes = 3 << 20;
// Of the serialised v1::TaskBundle.
inline constexpr size_t kMaxBundleBytes = 64 << 20;
inline constexpr size_t kMaxQuestionBytes = 200;
inline constexpr size_t kMaxInstructionBytes = 4000;
inline constexpr int kMaxEpisodeSteps = 1'000'000;
inline constexpr int kMaxClipSteps = 1000;
inline constexpr int kMaxCriteria = 100;  // of a rubric

// 1 to 64 of a-z, 0-9 and _, the first of them a letter.
inline bool IsTaskName(absl::string_view name) {
  return !name.empty() && name.size() <= 64 && absl::ascii_islower(name[0]) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_';
         });
}

}  // namespace backflip::experience

#endif  // BACKFLIP_COMMON_EXPERIENCE_LIMITS_H_
