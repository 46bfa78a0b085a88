// A broker in this process on a database of its own, and callers of it.
#ifndef BACKFLIP_TESTS_SUPPORT_TEST_BROKER_H_
#define BACKFLIP_TESTS_SUPPORT_TEST_BROKER_H_

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "backflip/v1/clip.grpc.pb.h"
#include "backflip/v1/label.grpc.pb.h"
#include "backflip/v1/people.grpc.pb.h"
#include "backflip/v1/review.grpc.pb.h"
#include "backflip/v1/run.grpc.pb.h"
#include "backflip/v1/snapshot.grpc.pb.h"
#include "backflip/v1/work.grpc.pb.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "services/preference_broker/broker.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::testing {

// A message from protobuf's text format.
template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  if (!google::protobuf::TextFormat::ParseFromString(text, &message))
    ADD_FAILURE() << "cannot parse: " << text;
  return message;
}

// All services as one caller. Thread-safe.
struct Peer {
  explicit Peer(rpc::Client c);

  // A unary method: peer.Call(peer.runs, &v1::RunService::Stub::Get, request).
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(const std::unique_ptr<Stub>& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) const {
    const auto context = client.UnaryContext(absl::Seconds(40));
    Response response;
    const absl::Status status =
        rpc::FromGrpc((stub.get()->*method)(context.get(), request, &response));
    if (!status.ok()) return status;
    return response;
  }

  // All messages of a stream that ends by itself.
  template <typename Response, typename Stub, typename Request>
  absl::StatusOr<std::vector<Response>> ReadAll(
      const std::unique_ptr<Stub>& stub,
      std::unique_ptr<grpc::ClientReader<Response>> (Stub::*method)(grpc::ClientContext*,
                                                                    const Request&),
      const Request& request) const {
    const auto context = client.UnaryContext(absl::Seconds(40));
    const auto reader = (stub.get()->*method)(context.get(), request);
    std::vector<Response> messages;
    Response message;
    while (reader->Read(&message)) messages.push_back(message);
    const absl::Status status = rpc::FromGrpc(reader->Finish());
    if (!status.ok()) return status;
    return messages;
  }

  rpc::Client client;
  std::unique_ptr<v1::RunService::Stub> runs;
  std::unique_ptr<v1::ClipService::Stub> clips;
  std::unique_ptr<v1::LabelingService::Stub> labeling;
  std::unique_ptr<v1::TrainingService::Stub> training;
  std::unique_ptr<v1::SnapshotService::Stub> snapshots;
  std::unique_ptr<v1::BundleService::Stub> bundles;
  std::unique_ptr<v1::ClaimService::Stub> claims;
  std::unique_ptr<v1::WorkService::Stub> work;
  std::unique_ptr<v1::PeopleService::Stub> people;
  std::unique_ptr<v1::ReviewService::Stub> review;
};

class TestBroker {
 public:
  // On `options.database` when given, else on a new one.
  explicit TestBroker(preference_broker::BrokerOptions options = {});

  const std::string& database() const { return options_.database; }
  const std::string& address() const { return broker_->address(); }
  preference_broker::Broker& broker() { return *broker_; }

  // The first caller of a role, or another by name.
  std::string Token(preference_broker::Role role, const std::string& name = "");
  Peer& As(preference_broker::Role role, const std::string& name = "");

  // A queued run of the test task; `spec` as text, over the defaults. Answers may come as fast as
  // tests give them, where the spec does not say otherwise.
  v1::Run CreateRun(const std::string& spec = "", bool has_true_reward = true);
  // The role's claim on it, which it is the oldest to want.
  v1::ClaimResponse Claim(preference_broker::Role role);
  // As if the run had come to this iteration.
  void Reach(int64_t run_id, int64_t iteration);
  // Uploads `count` clips of a batch, which the run reaches; returns their ids.
  std::vector<std::string> Upload(int64_t run_id, int64_t iteration, int count,
                                  bool has_true_reward = true);
  // Opens TRAIN questions on consecutive pairs of clips.
  absl::StatusOr<v1::OpenQuestionsResponse> Open(int64_t run_id, int64_t epoch, int64_t round,
                                                 const std::vector<std::string>& clips,
                                                 int overlap = 1);

 private:
  preference_broker::BrokerOptions options_;
  std::unique_ptr<preference_broker::Broker> broker_;
  std::map<std::string, std::unique_ptr<Peer>> peers_;
};

// 2 observations, 1 action, clips of 3 steps.
v1::TaskInfo TestTask(const std::string& bundle_hash, bool has_true_reward);
// A clip of that task with 2 bodies; `value` is its true reward at each step,
// and tells it from others.
v1::Clip TestClip(float value, int64_t iteration, int32_t ticket, int32_t index,
                  bool has_true_reward = true);
// Different at each call: a request id or a key.
std::string NewId();

}  // namespace backflip::testing

#endif  // BACKFLIP_TESTS_SUPPORT_TEST_BROKER_H_
