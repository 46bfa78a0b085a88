// What requests may contain. INVALID_ARGUMENT says which field, what it holds and what is allowed.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_VALIDATE_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_VALIDATE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "backflip/v1/clip.pb.h"
#include "backflip/v1/label.pb.h"
#include "backflip/v1/people.pb.h"
#include "backflip/v1/run.pb.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// Milliseconds since the epoch that the database can hold: the year 10000.
inline constexpr int64_t kMaxMillis = 253'402'300'800'000;
// Places of a group.
inline constexpr int64_t kMaxGroupCap = 100'000;

absl::Status CheckRange(absl::string_view field, int64_t value, int64_t low, int64_t high);
// 16 to 64 printable ASCII characters.
absl::Status CheckRequestId(absl::string_view field, const std::string& id);
// 1 to 64 printable ASCII characters: a claimant or a worker.
absl::Status CheckName(absl::string_view field, const std::string& name);
// UTF-8 without NUL, which the database cannot hold.
absl::Status CheckText(absl::string_view field, const std::string& text, size_t max_bytes);
// Text that is shown to people: as CheckText, and without control characters (line breaks and tabs
// are allowed) and marks that change the direction of writing.
absl::Status CheckPlainText(absl::string_view field, const std::string& text, size_t max_bytes);
// As CheckPlainText on one line, 1 to 64 characters, without a blank at either end.
absl::Status CheckPseudonym(absl::string_view field, const std::string& name);
// Exactly one of the two must be set.
absl::Status CheckPerson(int64_t labeler_id, const std::string& name);
absl::Status CheckClipId(absl::string_view field, const std::string& id);

absl::Status CheckTask(const v1::TaskInfo& task);
// `name` stands in errors: "clips[3]".
absl::Status CheckClip(absl::string_view name, const v1::Clip& clip, const v1::TaskInfo& task);
// The recording of an evaluation: 1 to 1000 steps, without true rewards.
absl::Status CheckRecording(const v1::Clip& recording, const v1::TaskInfo& task);
absl::Status CheckNewQuestions(const v1::OpenQuestionsRequest& request);
absl::Status CheckTiming(absl::string_view field, const v1::Timing& timing);
absl::Status CheckSubmit(const v1::SubmitRequest& request);
absl::Status CheckInvite(const v1::InviteRequest& request);
absl::Status CheckReliability(const v1::ReportReliabilityRequest& request);
// The head of a binary glTF 2: magic, version and length.
absl::Status CheckGlb(const std::string& glb);
absl::Status CheckMetrics(const v1::ReportMetricsRequest& request, Role role);
// More than the episodes that a learner asks for of one policy (common/method/evaluation.h), and
// little enough to be read again with each that comes.
inline constexpr int kMaxEvaluationEpisodes = 100;
absl::Status CheckEvaluation(absl::string_view name, const v1::Evaluation& evaluation,
                             const v1::TaskInfo& task);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_VALIDATE_H_
