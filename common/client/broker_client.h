// What an operator asks of the broker, as plain calls.
#ifndef BACKFLIP_COMMON_CLIENT_BROKER_CLIENT_H_
#define BACKFLIP_COMMON_CLIENT_BROKER_CLIENT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "backflip/v1/label.grpc.pb.h"
#include "backflip/v1/run.grpc.pb.h"
#include "backflip/v1/snapshot.grpc.pb.h"
#include "common/base/random.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"

namespace backflip::client {

// Calls block, and are tried again while the broker is away, within the bounds
// of base::Retry; `stop` (may be null) ends that with CANCELLED. Thread-safe.
class BrokerClient {
 public:
  BrokerClient(rpc::Client client, std::function<bool()> stop);

  const rpc::Client& client() const { return client_; }
  const std::function<bool()>& stop() const { return stop_; }

  // A unary call: Call<v1::PeopleService>(&v1::PeopleService::Stub::Invite,
  // request).
  template <typename Service, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Service::Stub::*method)(grpc::ClientContext*,
                                                                      const Request&, Response*),
                                const Request& request,
                                absl::Duration deadline = absl::Seconds(10)) const {
    const auto stub = Service::NewStub(client_.channel());
    Response response;
    RETURN_IF_ERROR(base::Retry({}, stop_, [&] {
      const auto context = client_.UnaryContext(deadline);
      response.Clear();
      return rpc::FromGrpc(((*stub).*method)(context.get(), request, &response));
    }));
    return response;
  }

  // The same for a list that comes in pages: all of them.
  template <typename Service, typename Request, typename Response>
  absl::StatusOr<Response> CallPages(grpc::Status (Service::Stub::*method)(grpc::ClientContext*,
                                                                           const Request&,
                                                                           Response*),
                                     Request request) const {
    Response all;
    do {
      ASSIGN_OR_RETURN(const Response page, Call<Service>(method, request));
      all.MergeFrom(page);
      request.set_page(page.next_page());
    } while (!request.page().empty());
    return all;
  }

  // `spec`: the topmost layer. `people`: whether people answer (CreateRunRequest). `labels_from`: a
  // run whose labels the new one begins with; 0: none. `request_id`: a call with the id of an
  // earlier one gives that one's run, or ALREADY_EXISTS where it asked for something else.
  absl::StatusOr<v1::Run> Create(const v1::RunSpec& spec, const v1::TaskInfo& task, bool people,
                                 int64_t labels_from,
                                 const std::string& request_id = base::RandomHex128()) const;
  absl::StatusOr<v1::Run> Get(int64_t run_id) const;
  // Newest first.
  absl::StatusOr<std::vector<v1::Run>> List(int limit) const;
  // The run once it has changed since `revision`, or after `wait`.
  absl::StatusOr<v1::Run> Watch(int64_t run_id, int64_t revision, absl::Duration wait) const;
  absl::StatusOr<v1::Run> Continue(int64_t run_id, int32_t add_labels, int64_t add_steps) const;
  absl::StatusOr<v1::Run> Cancel(int64_t run_id, bool pause) const;
  absl::StatusOr<std::vector<v1::MetricPoint>> Metrics(int64_t run_id) const;
  absl::StatusOr<std::vector<v1::Evaluation>> Evaluations(int64_t run_id) const;
  // Calls `label` for each standing label of the run.
  absl::Status Export(int64_t run_id,
                      const std::function<void(const v1::ExportedLabel&)>& label) const;

 private:
  rpc::Client client_;
  std::function<bool()> stop_;
};

}  // namespace backflip::client

#endif  // BACKFLIP_COMMON_CLIENT_BROKER_CLIENT_H_
