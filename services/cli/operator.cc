#include "services/cli/operator.h"

#include <utility>

#include "common/base/random.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/rpc/status.h"

namespace backflip::cli {
namespace {

// `call` is the stub's method, bound to everything but context and answer.
template <typename Response, typename Call>
absl::StatusOr<Response> Ask(const rpc::Client& broker,
                             const std::function<bool()>& stop,
                             absl::Duration deadline, Call call) {
  Response response;
  RETURN_IF_ERROR(base::Retry({}, stop, [&] {
    const auto context = broker.UnaryContext(deadline);
    response.Clear();
    return rpc::FromGrpc(call(context.get(), &response));
  }));
  return response;
}

constexpr absl::Duration kDeadline = absl::Seconds(10);

}  // namespace

Operator::Operator(rpc::Client broker, std::function<bool()> stop)
    : broker_(std::move(broker)),
      stop_(std::move(stop)),
      runs_(v1::RunService::NewStub(broker_.channel())),
      labels_(v1::LabelingService::NewStub(broker_.channel())) {}

absl::StatusOr<v1::Run> Operator::Create(const v1::RunSpec& spec,
                                         const v1::TaskInfo& task) const {
  v1::CreateRunRequest request;
  // once for all tries, so that an answer that was lost starts no second run
  request.set_request_id(base::RandomHex128());
  *request.mutable_spec() = spec;
  *request.mutable_task() = task;
  return Ask<v1::Run>(broker_, stop_, kDeadline, [&](auto* context, auto* run) {
    return runs_->Create(context, request, run);
  });
}

absl::StatusOr<v1::Run> Operator::Get(int64_t run_id) const {
  v1::GetRunRequest request;
  request.set_run_id(run_id);
  return Ask<v1::Run>(broker_, stop_, kDeadline, [&](auto* context, auto* run) {
    return runs_->Get(context, request, run);
  });
}

absl::StatusOr<std::vector<v1::Run>> Operator::List(int limit) const {
  v1::ListRunsRequest request;
  request.set_limit(limit);
  ASSIGN_OR_RETURN(
      const v1::ListRunsResponse response,
      Ask<v1::ListRunsResponse>(broker_, stop_, kDeadline,
                                [&](auto* context, auto* answer) {
                                  return runs_->List(context, request, answer);
                                }));
  return std::vector<v1::Run>(response.runs().begin(), response.runs().end());
}

absl::StatusOr<v1::Run> Operator::Watch(int64_t run_id, int64_t revision,
                                        absl::Duration wait) const {
  v1::WatchRunRequest request;
  request.set_run_id(run_id);
  request.set_since_revision(revision);
  request.set_wait_ms(static_cast<int32_t>(absl::ToInt64Milliseconds(wait)));
  return Ask<v1::Run>(broker_, stop_, wait + absl::Seconds(5),
                      [&](auto* context, auto* run) {
                        return runs_->Watch(context, request, run);
                      });
}

absl::StatusOr<v1::Run> Operator::Continue(int64_t run_id, int32_t add_labels,
                                           int64_t add_steps) const {
  v1::ContinueRunRequest request;
  request.set_request_id(base::RandomHex128());
  request.set_run_id(run_id);
  request.set_add_labels(add_labels);
  request.set_add_steps(add_steps);
  return Ask<v1::Run>(broker_, stop_, kDeadline, [&](auto* context, auto* run) {
    return runs_->Continue(context, request, run);
  });
}

absl::StatusOr<v1::Run> Operator::Cancel(int64_t run_id, bool pause) const {
  v1::CancelRunRequest request;
  request.set_run_id(run_id);
  request.set_pause(pause);
  return Ask<v1::Run>(broker_, stop_, kDeadline, [&](auto* context, auto* run) {
    return runs_->Cancel(context, request, run);
  });
}

absl::StatusOr<std::vector<v1::MetricPoint>> Operator::Metrics(
    int64_t run_id) const {
  v1::ListMetricsRequest request;
  request.set_run_id(run_id);
  ASSIGN_OR_RETURN(const v1::ListMetricsResponse response,
                   Ask<v1::ListMetricsResponse>(
                       broker_, stop_, kDeadline,
                       [&](auto* context, auto* answer) {
                         return runs_->ListMetrics(context, request, answer);
                       }));
  return std::vector<v1::MetricPoint>(response.points().begin(),
                                      response.points().end());
}

absl::StatusOr<std::vector<v1::Evaluation>> Operator::Evaluations(
    int64_t run_id) const {
  v1::ListEvaluationsRequest request;
  request.set_run_id(run_id);
  ASSIGN_OR_RETURN(const v1::ListEvaluationsResponse response,
                   Ask<v1::ListEvaluationsResponse>(
                       broker_, stop_, kDeadline,
                       [&](auto* context, auto* answer) {
                         return runs_->ListEvaluations(context, request, answer);
                       }));
  return std::vector<v1::Evaluation>(response.episodes().begin(),
                                     response.episodes().end());
}

absl::Status Operator::Export(
    int64_t run_id,
    const std::function<void(const v1::ExportedLabel&)>& label) const {
  v1::ExportRequest request;
  request.set_run_id(run_id);
  const auto context = broker_.StreamContext();
  const auto reader = labels_->Export(context.get(), request);
  v1::ExportedLabel exported;
  while (reader->Read(&exported)) label(exported);
  return rpc::FromGrpc(reader->Finish());
}

}  // namespace backflip::cli
