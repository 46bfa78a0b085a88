#include "common/client/broker_client.h"

#include <algorithm>
#include <utility>

namespace backflip::client {

using v1::RunService;

BrokerClient::BrokerClient(rpc::Client client, std::function<bool()> stop)
    : client_(std::move(client)), stop_(std::move(stop)) {}

absl::StatusOr<v1::Run> BrokerClient::Create(const v1::RunSpec& spec, const v1::TaskInfo& task,
                                             bool people, int64_t labels_from,
                                             const std::string& request_id) const {
  v1::CreateRunRequest request;
  // once for all tries, so that an answer that was lost starts no second run
  request.set_request_id(request_id);
  *request.mutable_spec() = spec;
  *request.mutable_task() = task;
  request.set_people(people);
  request.set_labels_from_run(labels_from);
  return Call<RunService>(&RunService::Stub::Create, request);
}

absl::StatusOr<v1::Run> BrokerClient::Get(int64_t run_id) const {
  v1::GetRunRequest request;
  request.set_run_id(run_id);
  return Call<RunService>(&RunService::Stub::Get, request);
}

absl::StatusOr<std::vector<v1::Run>> BrokerClient::List(int limit) const {
  v1::ListRunsRequest request;
  request.set_limit(limit);
  ASSIGN_OR_RETURN(const v1::ListRunsResponse response,
                   CallPages<RunService>(&RunService::Stub::List, request));
  const int runs = std::min(limit, response.runs_size());
  return std::vector<v1::Run>(response.runs().begin(), response.runs().begin() + runs);
}

absl::StatusOr<v1::Run> BrokerClient::Watch(int64_t run_id, int64_t revision,
                                            absl::Duration wait) const {
  v1::WatchRunRequest request;
  request.set_run_id(run_id);
  request.set_since_revision(revision);
  request.set_wait_ms(static_cast<int32_t>(absl::ToInt64Milliseconds(wait)));
  return Call<RunService>(&RunService::Stub::Watch, request, wait + absl::Seconds(5));
}

absl::StatusOr<v1::Run> BrokerClient::Continue(int64_t run_id, int32_t add_labels,
                                               int64_t add_steps) const {
  v1::ContinueRunRequest request;
  request.set_request_id(base::RandomHex128());
  request.set_run_id(run_id);
  request.set_add_labels(add_labels);
  request.set_add_steps(add_steps);
  return Call<RunService>(&RunService::Stub::Continue, request);
}

absl::StatusOr<v1::Run> BrokerClient::Cancel(int64_t run_id, bool pause) const {
  v1::CancelRunRequest request;
  request.set_run_id(run_id);
  request.set_pause(pause);
  return Call<RunService>(&RunService::Stub::Cancel, request);
}

absl::StatusOr<std::vector<v1::MetricPoint>> BrokerClient::Metrics(int64_t run_id) const {
  v1::ListMetricsRequest request;
  request.set_run_id(run_id);
  ASSIGN_OR_RETURN(const v1::ListMetricsResponse response,
                   CallPages<RunService>(&RunService::Stub::ListMetrics, request));
  return std::vector<v1::MetricPoint>(response.points().begin(), response.points().end());
}

absl::StatusOr<std::vector<v1::Evaluation>> BrokerClient::Evaluations(int64_t run_id) const {
  v1::ListEvaluationsRequest request;
  request.set_run_id(run_id);
  ASSIGN_OR_RETURN(const v1::ListEvaluationsResponse response,
                   CallPages<RunService>(&RunService::Stub::ListEvaluations, request));
  return std::vector<v1::Evaluation>(response.episodes().begin(), response.episodes().end());
}

absl::Status BrokerClient::Export(
    int64_t run_id, const std::function<void(const v1::ExportedLabel&)>& label) const {
  v1::ExportRequest request;
  request.set_run_id(run_id);
  const auto labels = v1::LabelingService::NewStub(client_.channel());
  const auto context = client_.StreamContext();
  const auto reader = labels->Export(context.get(), request);
  v1::ExportedLabel exported;
  while (reader->Read(&exported)) label(exported);
  return rpc::FromGrpc(reader->Finish());
}

}  // namespace backflip::client
