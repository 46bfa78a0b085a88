#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/options/run_spec.h"
#include "common/rpc/limits.h"
#include "services/preference_broker/rpc/services.h"
#include "services/preference_broker/rpc/validate.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/runs/metrics.h"
#include "services/preference_broker/store/runs/runs.h"

namespace backflip::preference_broker {
namespace {

// Metrics tell true returns: learners and trainers never see them.
bool MaySeeMetrics(const Caller& caller) {
  return caller.role == Role::kOperator || caller.role == Role::kReviewer;
}

class RunServiceImpl final : public v1::RunService::CallbackService {
 public:
  explicit RunServiceImpl(CallContext calls) : calls_(calls) {}

  grpc::ServerUnaryReactor* Create(grpc::CallbackServerContext* context,
                                   const v1::CreateRunRequest* request,
                                   v1::Run* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   if (request->labels_from_run() != 0)
                     RETURN_IF_ERROR(CheckRunAllowed(caller, request->labels_from_run()));
                   RETURN_IF_ERROR(CheckRequestId("request_id", request->request_id()));
                   v1::CreateRunRequest resolved = *request;
                   ASSIGN_OR_RETURN(*resolved.mutable_spec(),
                                    options::ResolveRunSpec(request->task().defaults(),
                                                            request->people(), request->spec()));
                   RETURN_IF_ERROR(CheckTask(resolved.task()));
                   RETURN_IF_ERROR(options::CheckFitsTask(resolved.spec(), resolved.task()));
                   ASSIGN_OR_RETURN(*response, CreateRun(connection, caller, resolved));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context,
                                const v1::GetRunRequest* request, v1::Run* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
                   ASSIGN_OR_RETURN(*response,
                                    GetRun(connection, request->run_id(), MaySeeMetrics(caller)));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const v1::ListRunsRequest* request,
                                 v1::ListRunsResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRange("limit", request->limit(), 0, 1000));
                   int64_t before = 0;
                   if (!request->page().empty() && !absl::SimpleAtoi(request->page(), &before)) {
                     return absl::InvalidArgumentError(
                         "page must be the next_page of the answer before, or empty");
                   }
                   ASSIGN_OR_RETURN(auto runs,
                                    ListRuns(connection, caller, before,
                                             request->limit() == 0 ? 100 : request->limit()));
                   for (v1::Run& run : runs) *response->add_runs() = std::move(run);
                   RETURN_IF_ERROR(CutPage("", response->mutable_runs(), response));
                   // runs are made meanwhile: the next page begins after the last one of this
                   if (!response->next_page().empty())
                     response->set_next_page(absl::StrCat(response->runs().rbegin()->id()));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* Watch(grpc::CallbackServerContext* context,
                                  const v1::WatchRunRequest* request, v1::Run* response) override {
    return LongPoll::Start(
        calls_, request, context, request->wait_ms(), RunTopic(request->run_id()),
        [=](Connection& connection, const Caller& caller) -> absl::StatusOr<bool> {
          RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
          ASSIGN_OR_RETURN(*response, GetRun(connection, request->run_id(), MaySeeMetrics(caller)));
          return response->revision() > request->since_revision();
        });
  }

  grpc::ServerUnaryReactor* Continue(grpc::CallbackServerContext* context,
                                     const v1::ContinueRunRequest* request,
                                     v1::Run* response) override {
    return Unary(
        calls_, request, context,
        [=](Connection& connection, const Caller& caller) -> absl::Status {
          RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
          RETURN_IF_ERROR(CheckRequestId("request_id", request->request_id()));
          RETURN_IF_ERROR(CheckRange("add_labels", request->add_labels(), 0, 1'000'000));
          RETURN_IF_ERROR(CheckRange("add_steps", request->add_steps(), 0, rpc::kMaxSteps));
          ASSIGN_OR_RETURN(*response, ContinueRun(connection, caller, *request));
          return absl::OkStatus();
        });
  }

  grpc::ServerUnaryReactor* Cancel(grpc::CallbackServerContext* context,
                                   const v1::CancelRunRequest* request,
                                   v1::Run* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
                   ASSIGN_OR_RETURN(*response, CancelRun(connection, caller, *request));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* StopAsking(grpc::CallbackServerContext* context,
                                       const v1::StopAskingRequest* request,
                                       v1::Run* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
                   ASSIGN_OR_RETURN(*response, preference_broker::StopAsking(connection, caller,
                                                                             request->run_id()));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* Fork(grpc::CallbackServerContext* context,
                                 const v1::ForkRunRequest* request, v1::Run* response) override {
    return Unary(
        calls_, request, context,
        [=](Connection& connection, const Caller& caller) -> absl::Status {
          RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
          RETURN_IF_ERROR(CheckRequestId("request_id", request->request_id()));
          RETURN_IF_ERROR(CheckRange("version", request->version(), 1, rpc::kMaxIteration));
          ASSIGN_OR_RETURN(*response, ForkRun(connection, caller, *request));
          return absl::OkStatus();
        });
  }

  grpc::ServerUnaryReactor* ListMetrics(grpc::CallbackServerContext* context,
                                        const v1::ListMetricsRequest* request,
                                        v1::ListMetricsResponse* response) override {
    return Unary(
        calls_, request, context,
        [=](Connection& connection, const Caller& caller) -> absl::Status {
          RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
          RETURN_IF_ERROR(CheckRange("the number of names", request->names_size(), 0, 1000));
          for (const std::string& name : request->names())
            RETURN_IF_ERROR(CheckText("names", name, 64));
          ASSIGN_OR_RETURN(*response, preference_broker::ListMetrics(connection, *request));
          return absl::OkStatus();
        });
  }

  grpc::ServerUnaryReactor* ReportMetrics(grpc::CallbackServerContext* context,
                                          const v1::ReportMetricsRequest* request,
                                          v1::ReportMetricsResponse*) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckMetrics(*request, caller.role));
                   return preference_broker::ReportMetrics(connection, caller, *request);
                 });
  }

  grpc::ServerUnaryReactor* ReportEvaluation(grpc::CallbackServerContext* context,
                                             const v1::ReportEvaluationRequest* request,
                                             v1::ReportEvaluationResponse*) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   ASSIGN_OR_RETURN(const RunDefinition run,
                                    GetRunDefinition(connection, request->run_id()));
                   RETURN_IF_ERROR(
                       CheckRange("episodes", request->episodes_size(), 0, kMaxEvaluationEpisodes));
                   for (int i = 0; i < request->episodes_size(); ++i) {
                     RETURN_IF_ERROR(CheckEvaluation(absl::StrCat("episodes[", i, "]"),
                                                     request->episodes(i), run.task));
                   }
                   if (request->has_recording())
                     RETURN_IF_ERROR(CheckRecording(request->recording(), run.task));
                   return preference_broker::ReportEvaluation(connection, caller, *request);
                 });
  }

  grpc::ServerUnaryReactor* ListEvaluations(grpc::CallbackServerContext* context,
                                            const v1::ListEvaluationsRequest* request,
                                            v1::ListEvaluationsResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
                   ASSIGN_OR_RETURN(auto episodes, preference_broker::ListEvaluations(
                                                       connection, request->run_id()));
                   for (v1::Evaluation& episode : episodes)
                     *response->add_episodes() = std::move(episode);
                   return CutPage(request->page(), response->mutable_episodes(), response);
                 });
  }

 private:
  const CallContext calls_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeRunService(CallContext calls) {
  return std::make_unique<RunServiceImpl>(calls);
}

}  // namespace backflip::preference_broker
