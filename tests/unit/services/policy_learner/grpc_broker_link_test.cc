#include "services/policy_learner/grpc_broker_link.h"

#include <memory>
#include <string>

#include "common/base/hash.h"
#include "common/learn/reward/ensemble.h"
#include "common/options/run_spec.h"
#include "common/rpc/server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace backflip::policy_learner {
namespace {

using ::testing::HasSubstr;

// A broker that has dropped all rewards but that of iteration 5.
class ForgetfulBroker : public v1::ClaimService::Service, public v1::SnapshotService::Service {
 public:
  ForgetfulBroker() {
    v1::RewardModel options = options::DefaultRunSpec().reward_model();
    bytes_ = (*learn::RewardEnsemble::Create(options, false, 1, 2, 1))->ToSnapshot().Encode();
    rpc::ServerOptions server;
    server.listen = "127.0.0.1:0";
    server.services = {static_cast<v1::ClaimService::Service*>(this),
                       static_cast<v1::SnapshotService::Service*>(this)};
    server_ = *rpc::Server::Start(std::move(server));
  }
  ~ForgetfulBroker() override { server_->Drain(absl::ZeroDuration()); }

  rpc::Client Client() const { return rpc::Client(server_->address(), "token"); }

 private:
  grpc::Status Claim(grpc::ServerContext*, const v1::ClaimRequest*,
                     v1::ClaimResponse* response) override {
    response->mutable_run()->set_id(4);
    *response->mutable_run()->mutable_spec() = options::DefaultRunSpec();
    response->set_lease_ms(60'000);
    return grpc::Status::OK;
  }
  grpc::Status Renew(grpc::ServerContext*, const v1::RenewClaimRequest*,
                     v1::RenewClaimResponse* response) override {
    response->set_state(v1::RUNNING);
    return grpc::Status::OK;
  }
  grpc::Status Get(grpc::ServerContext*, const v1::GetSnapshotRequest*,
                   grpc::ServerWriter<v1::SnapshotChunk>*) override {
    return {grpc::StatusCode::NOT_FOUND, "none of that iteration"};
  }
  grpc::Status Watch(grpc::ServerContext*, const v1::WatchSnapshotsRequest*,
                     grpc::ServerWriter<v1::SnapshotChunk>* writer) override {
    v1::SnapshotChunk chunk;
    chunk.mutable_info()->set_iteration(5);
    chunk.mutable_info()->set_version(9);
    chunk.mutable_info()->set_size(static_cast<int64_t>(bytes_.size()));
    chunk.mutable_info()->set_sha256(base::Sha256Hex(bytes_));
    chunk.set_data(bytes_);
    writer->Write(chunk);
    return grpc::Status::OK;
  }

  std::string bytes_;
  std::unique_ptr<rpc::Server> server_;
};

TEST(GrpcBrokerLink, TakesNoNewerRewardInThePlaceOfOneThatIsGone) {
  ForgetfulBroker broker;
  const rpc::Client client = broker.Client();
  const auto claim = client::ClaimKeeper::Claim(client, "claimant", "");
  ASSERT_TRUE(claim.ok()) << claim.status();
  GrpcBrokerLink link(client, claim->get(), [] { return false; });
  const auto there = link.RewardOf(5, absl::Seconds(60));
  ASSERT_TRUE(there.ok()) << there.status();
  ASSERT_NE(*there, nullptr);
  EXPECT_EQ((*there)->info.iteration(), 5);
  const auto gone = link.RewardOf(3, absl::Seconds(60));
  EXPECT_EQ(gone.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(gone.status().message(), HasSubstr("the reward of iteration 3 is gone"));
}

}  // namespace
}  // namespace backflip::policy_learner
