// Lives of labels.
#include "backflip/v1/trace.grpc.pb.h"
#include "common/metrics/metrics.h"
#include "common/rpc/limits.h"
#include "services/preference_broker/rpc/services.h"
#include "services/preference_broker/rpc/spans.h"
#include "services/preference_broker/rpc/validate.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/review/trace.h"

namespace backflip::preference_broker {
namespace {

absl::Status CheckSources(const v1::ReportSourcesRequest& request, Role role) {
  const bool learner = role == Role::kLearner;
  if (request.kind() != (learner ? v1::POLICY : v1::REWARD)) {
    return absl::InvalidArgumentError("kind must be POLICY from a learner, REWARD from a trainer");
  }
  RETURN_IF_ERROR(CheckRange("version", request.version(), 1, rpc::kMaxIteration));
  return learner ? CheckRange("reward_version", request.reward_version(), 1, rpc::kMaxIteration)
                 : CheckRange("label_position", request.label_position(), 0, rpc::kMaxIteration);
}

// A line for each label that is learned from for the first time, and how old it had become.
void Note(int64_t run_id, const FirstLearned& learned) {
  const bool reward = learned.kind == v1::REWARD;
  metrics::Histogram& ages = metrics::GetAges(
      "backflip_label_age_seconds",
      "From an answer to the first ensemble that was fitted to it, and to the first "
      "policy that learned from such a one.",
      {{"until", reward ? "reward" : "policy"}});
  for (const LearnedLabel& label : learned.labels) {
    ages.Observe(label.age_seconds);
    Tell({reward ? "an ensemble learned from an answer" : "a policy learned from an answer", run_id,
          label.question_id, absl::Seconds(label.age_seconds)},
         {{"trace", TraceId(run_id, label.question_id)},
          {"run", run_id},
          {"label", label.label_id},
          {reward ? "reward_version" : "policy_version", learned.version}});
  }
}

class TraceServiceImpl final : public v1::TraceService::CallbackService {
 public:
  explicit TraceServiceImpl(CallContext calls) : calls_(calls) {}

  grpc::ServerUnaryReactor* TraceLabel(grpc::CallbackServerContext* context,
                                       const v1::TraceLabelRequest* request,
                                       v1::LabelTrace* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   ASSIGN_OR_RETURN(*response, preference_broker::TraceLabel(connection, caller,
                                                                             request->label_id()));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* ReportSources(grpc::CallbackServerContext* context,
                                          const v1::ReportSourcesRequest* request,
                                          v1::ReportSourcesResponse*) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckSources(*request, caller.role));
                   ASSIGN_OR_RETURN(const std::vector<FirstLearned> learned,
                                    preference_broker::ReportSources(connection, caller, *request));
                   for (const FirstLearned& first : learned) Note(request->run_id(), first);
                   return absl::OkStatus();
                 });
  }

 private:
  const CallContext calls_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeTraceService(CallContext calls) {
  return std::make_unique<TraceServiceImpl>(calls);
}

}  // namespace backflip::preference_broker
