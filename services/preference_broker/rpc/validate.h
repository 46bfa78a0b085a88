// What requests may contain. INVALID_ARGUMENT says which field, what it holds
// and what is allowed.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_VALIDATE_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_VALIDATE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "backflip/v1/clip.pb.h"
#include "backflip/v1/label.pb.h"
#include "backflip/v1/run.pb.h"
#include "services/preference_broker/store/callers.h"

namespace backflip::broker {

absl::Status CheckRange(absl::string_view field, int64_t value, int64_t low, int64_t high);
// 16 to 64 printable ASCII characters.
absl::Status CheckRequestId(absl::string_view field, const std::string& id);
// 1 to 64 printable ASCII characters: a claimant or a worker.
absl::Status CheckName(absl::string_view field, const std::string& name);
// Of labelers' programs and of messages: UTF-8 without NUL, which the database
// cannot hold.
absl::Status CheckText(absl::string_view field, const std::string& text, size_t max_bytes);
absl::Status CheckClipId(absl::string_view field, const std::string& id);

absl::Status CheckTask(const v1::TaskInfo& task);
// `name` is said in errors: "clips[3]".
absl::Status CheckClip(absl::string_view name, const v1::Clip& clip, const v1::TaskInfo& task);
absl::Status CheckNewQuestions(const v1::OpenQuestionsRequest& request);
absl::Status CheckReliability(const v1::ReportReliabilityRequest& request);
absl::Status CheckSubmit(const v1::SubmitRequest& request);
absl::Status CheckMetrics(const v1::ReportMetricsRequest& request, Role role);
absl::Status CheckEvaluation(absl::string_view name, const v1::Evaluation& evaluation,
                             const v1::TaskInfo& task);

}  // namespace backflip::broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_VALIDATE_H_
