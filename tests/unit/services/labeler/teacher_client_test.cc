#include "services/labeler/teacher_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/rpc/server.h"

namespace backflip::labeler {
namespace {

using ::testing::HasSubstr;

// As much of the LabelingService as a teacher sees, in memory.
class FakeLabeling : public v1::LabelingService::Service {
 public:
  FakeLabeling() {
    rpc::ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.services = {this};
    options.on_drain = [this] {
      base::MutexLock lock(&mutex_);
      draining_ = true;
      changed_.NotifyAll();
    };
    server_ = *rpc::Server::Start(std::move(options));
  }
  ~FakeLabeling() override { server_->Drain(absl::ZeroDuration()); }

  rpc::Client Client() const { return rpc::Client(server_->address(), "token"); }

  void Ask(int questions, double mean_return = 1.5) {
    base::MutexLock lock(&mutex_);
    for (int i = 0; i < questions; ++i) {
      v1::Question question;
      question.set_lease_id(absl::StrCat("lease-", ++leases_));
      question.set_lease_ms(60'000);
      // by its rubric the clip with the lesser reward is better
      for (const float reward : {1.0f, 2.0f}) {
        v1::ShownClip* clip = question.add_clips();
        clip->add_true_rewards(reward);
        clip->add_rubric(-reward);
      }
      question.set_mean_return(mean_return);
      open_.push_back(std::move(question));
    }
    changed_.NotifyAll();
  }
  void RefuseLeases(grpc::Status status) {
    base::MutexLock lock(&mutex_);
    refusal_ = std::move(status);
  }
  // The next answers fail as if the broker were away, though they are stored.
  void LoseReplies(int count) {
    base::MutexLock lock(&mutex_);
    lost_replies_ = count;
  }
  std::vector<v1::SubmitRequest> AwaitSubmits(size_t count) {
    base::MutexLock lock(&mutex_);
    while (submits_.size() < count) changed_.Wait(&mutex_);
    return {submits_.begin(), submits_.end()};
  }

 private:
  grpc::Status Lease(grpc::ServerContext* context, const v1::LeaseRequest* request,
                     v1::LeaseResponse* response) override {
    base::MutexLock lock(&mutex_);
    if (!refusal_.ok()) return refusal_;
    while (open_.empty() && !draining_ && !context->IsCancelled()) {
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(20));
    }
    while (!open_.empty() && response->questions_size() < request->count()) {
      *response->add_questions() = open_.front();
      open_.pop_front();
    }
    return grpc::Status::OK;
  }
  grpc::Status Submit(grpc::ServerContext*, const v1::SubmitRequest* request,
                      v1::SubmitResponse*) override {
    base::MutexLock lock(&mutex_);
    submits_.push_back(*request);
    changed_.NotifyAll();
    if (lost_replies_-- > 0) return {grpc::StatusCode::UNAVAILABLE, "away"};
    return grpc::Status::OK;
  }
  grpc::Status Heartbeat(grpc::ServerContext*, const v1::HeartbeatRequest*,
                         v1::HeartbeatResponse*) override {
    return grpc::Status::OK;
  }

  base::Mutex mutex_;
  base::CondVar changed_;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  int leases_ ABSL_GUARDED_BY(mutex_) = 0;
  int lost_replies_ ABSL_GUARDED_BY(mutex_) = 0;
  grpc::Status refusal_ ABSL_GUARDED_BY(mutex_);
  std::deque<v1::Question> open_ ABSL_GUARDED_BY(mutex_);
  std::deque<v1::SubmitRequest> submits_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<rpc::Server> server_;
};

teachers::Teacher Oracle() { return teachers::Teacher(*teachers::TraitsOf("oracle"), 1); }

TEST(TeacherClient, AnswersEveryQuestionOnce) {
  FakeLabeling broker;
  broker.Ask(20);
  TeacherClient client(broker.Client(), {}, Oracle());
  client.Start();
  const auto submits = broker.AwaitSubmits(20);
  client.Drain();
  EXPECT_TRUE(client.Wait().ok());
  EXPECT_EQ(broker.AwaitSubmits(20).size(), 20);
  for (const v1::SubmitRequest& submit : submits) {
    EXPECT_EQ(submit.answer().choice(), v1::RIGHT);
    EXPECT_EQ(submit.idempotency_key().size(), 32);
  }
  EXPECT_NE(submits[0].idempotency_key(), submits[1].idempotency_key());
}

TEST(TeacherClient, JudgesByWhatTheQuestionSaysThatClipsUsuallyEarn) {
  FakeLabeling broker;
  broker.Ask(1, /*mean_return=*/100);
  broker.Ask(1, /*mean_return=*/-100);
  TeacherClient client(broker.Client(), {}, teachers::Teacher(*teachers::TraitsOf("skip"), 1));
  client.Start();
  const auto submits = broker.AwaitSubmits(2);
  EXPECT_EQ(submits[0].answer().choice(), v1::CANNOT_TELL);
  EXPECT_EQ(submits[1].answer().choice(), v1::RIGHT);
}

TEST(TeacherClient, SendsAnAnswerWhoseReplyWasLostUnderTheSameKey) {
  FakeLabeling broker;
  broker.LoseReplies(2);
  broker.Ask(1);
  TeacherClient client(broker.Client(), {}, Oracle());
  client.Start();
  const auto submits = broker.AwaitSubmits(3);
  EXPECT_EQ(submits[0].SerializeAsString(), submits[1].SerializeAsString());
  EXPECT_EQ(submits[0].SerializeAsString(), submits[2].SerializeAsString());
}

TEST(TeacherClient, SendsAnAnswerTwiceUnderTheSameKeyWhenItsFaultsSaySo) {
  FakeLabeling broker;
  broker.Ask(1);
  TeacherClientConfig config;
  config.answer_twice = 1;
  TeacherClient client(broker.Client(), config, Oracle());
  client.Start();
  const auto submits = broker.AwaitSubmits(2);
  EXPECT_EQ(submits[0].SerializeAsString(), submits[1].SerializeAsString());
}

TEST(TeacherClient, LeavesALeaseWhenItsFaultsSaySo) {
  FakeLabeling broker;
  broker.Ask(3);
  TeacherClientConfig config;
  config.never_answer = 1;
  TeacherClient client(broker.Client(), config, Oracle());
  client.Start();
  client.Drain();
  EXPECT_TRUE(client.Wait().ok());
  EXPECT_TRUE(broker.AwaitSubmits(0).empty());
}

TEST(TeacherClient, ReadsTheRubricOfClipsWhereItsTeacherDoes) {
  for (const auto& [name, choice] : {std::pair{"oracle", v1::RIGHT}, {"rubric", v1::LEFT}}) {
    FakeLabeling broker;
    broker.Ask(1);
    TeacherClient client(broker.Client(), {},
                         teachers::Teacher(*teachers::TraitsOf(name), /*seed=*/1));
    client.Start();
    EXPECT_EQ(broker.AwaitSubmits(1)[0].answer().choice(), choice) << name;
    client.Drain();
    EXPECT_TRUE(client.Wait().ok());
  }
}

TEST(TeacherClient, AnswersWhatItHoldsWhenItDrains) {
  FakeLabeling broker;
  broker.Ask(4);
  TeacherClientConfig config;
  config.labels_per_minute = 0.01;  // the second would come after 100 minutes
  TeacherClient client(broker.Client(), config, Oracle());
  client.Start();
  broker.AwaitSubmits(1);
  client.Drain();
  EXPECT_TRUE(client.Wait().ok());
  EXPECT_EQ(broker.AwaitSubmits(0).size(), 4);
}

TEST(TeacherClient, EndsWithTheBrokersSentenceWhereATaskHasNoTrueReward) {
  FakeLabeling broker;
  broker.RefuseLeases({grpc::StatusCode::FAILED_PRECONDITION, "the task has no true reward"});
  TeacherClient client(broker.Client(), {}, Oracle());
  client.Start();
  EXPECT_THAT(client.Wait().message(), HasSubstr("no true reward"));
}

}  // namespace
}  // namespace backflip::labeler
