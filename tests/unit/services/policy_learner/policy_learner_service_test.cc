#include "services/policy_learner/policy_learner_service.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/mutex.h"
#include "common/rpc/client.h"
#include "common/rpc/collect_token.h"
#include "common/rpc/server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/services/policy_learner/synthetic_rollouts.h"

namespace backflip::policy_learner {
namespace {

using ::testing::HasSubstr;

bool Never() { return false; }

class PolicyLearnerServiceTest : public ::testing::Test {
 protected:
  using Stream = grpc::ClientReaderWriter<v1::WorkerMessage, v1::LearnerMessage>;

  PolicyLearnerServiceTest() {
    spec_.set_seed(3);
    spec_.set_reward(v1::PREFERENCES);
    spec_.set_steps(1000);
    spec_.mutable_collection()->set_environments(4);
    spec_.mutable_collection()->set_batch_steps(16);
    collector_ =
        std::make_shared<Collector>(spec_, SyntheticTask(), 0, std::vector<v1::EnvironmentState>());
    server_ = *rpc::Server::Start(
        {.listen = "127.0.0.1:0", .services = {&service_}, .on_drain = nullptr});
    service_.Serve(collector_, "secret", [this](const std::vector<int64_t>& ids) {
      base::MutexLock lock(&mutex_);
      std::vector<int64_t> refused;
      std::copy_if(ids.begin(), ids.end(), std::back_inserter(refused),
                   [this](int64_t id)
                       ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return refused_.count(id) > 0; });
      return refused;
    });
  }
  ~PolicyLearnerServiceTest() override {
    stream_.reset();
    context_.reset();
    server_->Drain(absl::ZeroDuration());
  }

  void Dial(const std::string& token) {
    const rpc::Client client(server_->address(), token);
    context_ = client.StreamContext();
    stream_ = v1::CollectService::NewStub(client.channel())->Collect(context_.get());
  }
  void Register(const std::string& fingerprint = "f1") {
    v1::WorkerMessage message;
    message.mutable_register_()->set_protocol_major(1);
    message.mutable_register_()->set_task_fingerprint(fingerprint);
    message.mutable_register_()->set_threads(2);
    stream_->Write(message);
  }
  // The next message that is no heartbeat.
  v1::LearnerMessage Read() {
    v1::LearnerMessage message;
    while (stream_->Read(&message)) {
      if (!message.has_heartbeat()) return message;
    }
    return {};
  }
  bool Return(const v1::Ticket& ticket) {
    v1::WorkerMessage message;
    message.set_allocated_rollout(SyntheticRollout(ticket).release());
    return stream_->Write(message);
  }

  base::Mutex mutex_;
  // Tokens that the broker accepts no more.
  std::set<int64_t> refused_ ABSL_GUARDED_BY(mutex_);
  v1::RunSpec spec_;
  std::shared_ptr<Collector> collector_;
  PolicyLearnerService service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<Stream> stream_;
};

TEST_F(PolicyLearnerServiceTest, CollectsABatchOverOneStream) {
  collector_->AddPolicy({.iteration = 0, .version = 9, .bytes = "policy"});
  Dial(rpc::CollectToken("secret", 7));
  Register();
  EXPECT_TRUE(Read().has_registered());
  const v1::LearnerMessage policy = Read();
  EXPECT_EQ(policy.policy().version(), 9);
  EXPECT_EQ(policy.policy().data(), "policy");
  EXPECT_TRUE(policy.policy().last());
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Return(Read().ticket()));
  EXPECT_TRUE(collector_->WaitBatch(0, Never).ok());
}

TEST_F(PolicyLearnerServiceTest, RefusesAWrongToken) {
  Dial("guess");
  Read();
  const grpc::Status status = stream_->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(status.error_message(), HasSubstr("ask the broker for work"));
}

TEST_F(PolicyLearnerServiceTest, RefusesTheSecretItselfAndAnotherNumber) {
  const std::string good = rpc::CollectToken("secret", 7);
  for (const std::string& token : {std::string("secret"), "8" + good.substr(1), good + "0",
                                   "0" + good.substr(1), rpc::CollectToken("another", 7)}) {
    Dial(token);
    Read();
    EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED) << token;
  }
}

TEST_F(PolicyLearnerServiceTest, TakesNothingMoreOfAWorkerWhoseTokenIsAcceptedNoMore) {
  collector_->AddPolicy({.iteration = 0, .version = 9, .bytes = "policy"});
  Dial(rpc::CollectToken("secret", 7));
  Register();
  EXPECT_TRUE(Read().has_registered());
  EXPECT_TRUE(Read().has_policy());
  std::vector<v1::Ticket> tickets;
  for (int i = 0; i < 4; ++i) tickets.push_back(Read().ticket());
  {
    base::MutexLock lock(&mutex_);
    refused_.insert(7);
  }
  while (collector_->workers() > 0) absl::SleepFor(absl::Milliseconds(20));
  // whatever it sends
  for (const v1::Ticket& ticket : tickets) (void)Return(ticket);
  Read();
  const grpc::Status status = stream_->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(status.error_message(), HasSubstr("accepts this worker's token no more"));
  Dial(rpc::CollectToken("secret", 7));
  Register();
  Read();
  EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  // another one gets all of its tickets
  Dial(rpc::CollectToken("secret", 8));
  Register();
  EXPECT_TRUE(Read().has_registered());
  EXPECT_TRUE(Read().has_policy());
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Return(Read().ticket()));
  EXPECT_TRUE(collector_->WaitBatch(0, Never).ok());
  EXPECT_EQ(collector_->dropped(), 0);
}

TEST_F(PolicyLearnerServiceTest, RefusesAnotherFingerprint) {
  Dial(rpc::CollectToken("secret", 7));
  Register("f2");
  Read();
  const grpc::Status status = stream_->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("fingerprint f2"));
}

TEST_F(PolicyLearnerServiceTest, WantsRegisterFirst) {
  Dial(rpc::CollectToken("secret", 7));
  v1::WorkerMessage message;
  message.mutable_heartbeat();
  stream_->Write(message);
  Read();
  const grpc::Status status = stream_->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("must be Register"));
}

TEST_F(PolicyLearnerServiceTest, EndsAStreamThatReturnsABadRollout) {
  collector_->AddPolicy({.iteration = 0, .version = 9, .bytes = "policy"});
  Dial(rpc::CollectToken("secret", 7));
  Register();
  v1::LearnerMessage message = Read();
  while (!message.has_ticket()) message = Read();
  v1::Ticket wrong = message.ticket();
  wrong.set_steps(3);
  ASSERT_TRUE(Return(wrong));
  while (Read().message_case() != v1::LearnerMessage::MESSAGE_NOT_SET) {
  }
  const grpc::Status status = stream_->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("observations has 9 numbers"));
  EXPECT_EQ(collector_->workers(), 0);
}

TEST_F(PolicyLearnerServiceTest, GivesTheTicketsOfABrokenStreamToOthers) {
  collector_->AddPolicy({.iteration = 0, .version = 9, .bytes = "policy"});
  Dial(rpc::CollectToken("secret", 7));
  Register();
  v1::LearnerMessage message = Read();
  while (!message.has_ticket()) message = Read();
  context_->TryCancel();
  stream_->Finish();
  Dial(rpc::CollectToken("secret", 7));
  Register();
  for (int returned = 0; returned < 4;) {
    message = Read();
    if (!message.has_ticket()) continue;
    ASSERT_TRUE(Return(message.ticket()));
    ++returned;
  }
  EXPECT_TRUE(collector_->WaitBatch(0, Never).ok());
}

TEST_F(PolicyLearnerServiceTest, ReleasesWorkersAndWaitsForThem) {
  Dial(rpc::CollectToken("secret", 7));
  Register();
  EXPECT_TRUE(Read().has_registered());
  std::thread stopping([&] { service_.StopServing(absl::Minutes(1)); });
  EXPECT_TRUE(Read().has_release());
  stream_->WritesDone();
  EXPECT_TRUE(stream_->Finish().ok());
  stopping.join();
  Dial(rpc::CollectToken("secret", 7));
  Read();
  EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

}  // namespace
}  // namespace backflip::policy_learner
