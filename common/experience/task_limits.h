// What a task may be, wherever it is checked: when its files are read, and when a broker takes it.
#ifndef BACKFLIP_COMMON_EXPERIENCE_TASK_LIMITS_H_
#define BACKFLIP_COMMON_EXPERIENCE_TASK_LIMITS_H_

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace backflip::experience {

// Of the serialised v1::TaskBundle.
inline constexpr size_t kMaxBundleBytes = 64 << 20;
inline constexpr size_t kMaxQuestionBytes = 200;
inline constexpr size_t kMaxInstructionBytes = 4000;
inline constexpr int kMaxEpisodeSteps = 1'000'000;
inline constexpr int kMaxClipSteps = 1000;

// 1 to 64 of a-z, 0-9 and _, the first of them a letter.
inline bool IsTaskName(absl::string_view name) {
  return !name.empty() && name.size() <= 64 && absl::ascii_islower(name[0]) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_';
         });
}

}  // namespace backflip::experience

#endif  // BACKFLIP_COMMON_EXPERIENCE_TASK_LIMITS_H_
