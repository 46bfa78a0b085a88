// The life of a label, from its clips to what learned from it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backflip/v1/trace.grpc.pb.h"
#include "common/client/snapshot_client.h"
#include "common/metrics/metrics.h"
#include "tests/integration/broker/fixtures.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class TraceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    run_id_ = broker_.CreateRun("labels: 100 lockstep: false").id();
    learner_ = broker_.Claim(Role::kLearner).epoch();
    trainer_ = broker_.Claim(Role::kTrainer).epoch();
    clips_ = broker_.Upload(run_id_, 0, 8);
    const auto opened = broker_.Open(run_id_, trainer_, 0, clips_);
    ASSERT_TRUE(opened.ok()) << opened.status();
  }

  // Leases a question and answers it; returns its lease.
  std::string Answer(v1::Choice choice = v1::LEFT) {
    const Peer& ada = broker_.As(Role::kLabeler, "ada");
    const auto lease =
        ada.Call(ada.labeling, &v1::LabelingService::Stub::Lease, v1::LeaseRequest());
    EXPECT_TRUE(lease.ok() && lease->questions_size() == 1) << lease.status();
    const std::string id = lease->questions(0).lease_id();
    const auto label = Submit(ada, AnswerTo(id, choice));
    EXPECT_TRUE(label.ok()) << label.status();
    label_ = label->label_id();
    return id;
  }
  // Waits until everything that was answered is in the feed; returns its length.
  int64_t Position() {
    const std::string of_run = absl::StrCat(" FROM labels WHERE run_id = ", run_id_);
    while (Query(broker_.database(), "SELECT count(*) - count(position)" + of_run) != "0") {
    }
    return std::stoll(Query(broker_.database(), "SELECT max(position)" + of_run));
  }

  // Publishes a snapshot; returns its version.
  int64_t Publish(v1::SnapshotKind kind) {
    const bool reward = kind == v1::REWARD;
    const Peer& peer = broker_.As(reward ? Role::kTrainer : Role::kLearner);
    v1::SnapshotInfo info;
    info.set_run_id(run_id_);
    info.set_kind(kind);
    info.set_iteration(++iteration_);
    const auto published = client::PublishSnapshot(peer.client, reward ? trainer_ : learner_, info,
                                                   absl::StrCat("snapshot ", iteration_), nullptr);
    EXPECT_TRUE(published.ok()) << published.status();
    return published->version();
  }
  // Publishes one and tells what it was learned from: the feed's position, or a reward's version.
  int64_t Learn(v1::SnapshotKind kind, int64_t source) {
    const int64_t version = Publish(kind);
    const absl::Status reported = Report(kind, version, source);
    EXPECT_TRUE(reported.ok()) << reported;
    return version;
  }
  absl::Status Report(v1::SnapshotKind kind, int64_t version, int64_t source, int64_t epochs = 0) {
    const bool reward = kind == v1::REWARD;
    const Peer& peer = broker_.As(reward ? Role::kTrainer : Role::kLearner);
    v1::ReportSourcesRequest request;
    request.set_run_id(run_id_);
    request.set_epoch((reward ? trainer_ : learner_) + epochs);
    request.set_kind(kind);
    request.set_version(version);
    if (reward) request.set_label_position(source);
    if (!reward) request.set_reward_version(source);
    return peer
        .Call(v1::TraceService::NewStub(peer.client.channel()),
              &v1::TraceService::Stub::ReportSources, request)
        .status();
  }

  absl::StatusOr<v1::LabelTrace> Trace(int64_t label, Role role = Role::kReviewer,
                                       const std::string& name = "") {
    const Peer& peer = broker_.As(role, name);
    v1::TraceLabelRequest request;
    request.set_label_id(label);
    return peer.Call(v1::TraceService::NewStub(peer.client.channel()),
                     &v1::TraceService::Stub::TraceLabel, request);
  }

  TestBroker broker_;
  int64_t run_id_ = 0, learner_ = 0, trainer_ = 0, iteration_ = 0, label_ = 0;
  std::vector<std::string> clips_;
};

TEST_F(TraceTest, TellsALabelsLifeFromItsClipsToTheFirstPolicyThatLearnedFromIt) {
  Answer();
  const int64_t first = label_;
  const int64_t reward = Learn(v1::REWARD, Position());
  const int64_t policy = Learn(v1::POLICY, reward);
  Answer(v1::RIGHT);
  const int64_t later = Learn(v1::REWARD, Position());
  const auto trace = Trace(first);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->run_id(), run_id_);
  EXPECT_EQ(trace->trace(), absl::StrCat(run_id_, "-", trace->question().id()));
  EXPECT_EQ(trace->question().purpose(), v1::TRAIN);
  EXPECT_EQ(trace->question().round(), 0);
  ASSERT_THAT(trace->clips(), SizeIs(2));
  EXPECT_THAT(clips_, ::testing::Contains(trace->clips(0).clip_id()));
  // the name of the token of whoever stored it
  EXPECT_EQ(trace->clips(0).worker(),
            Query(broker_.database(), "SELECT name FROM callers WHERE role = 'worker'"));
  EXPECT_LE(trace->clips(1).stored_ms(), trace->question().opened_ms());
  ASSERT_THAT(trace->leases(), SizeIs(1));
  EXPECT_EQ(trace->leases(0).labeler(), "ada");
  EXPECT_TRUE(trace->leases(0).of_label());
  ASSERT_THAT(trace->entries(), SizeIs(1));
  EXPECT_EQ(trace->entries(0).answer().choice(), v1::LEFT);
  EXPECT_EQ(trace->entries(0).position(), 1);
  EXPECT_EQ(trace->reward().version(), reward);
  EXPECT_EQ(trace->policy().version(), policy);

  // no policy has learned from the second one yet
  const auto second = Trace(label_);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->reward().version(), later);
  EXPECT_FALSE(second->has_policy());
}

TEST_F(TraceTest, ALabelThatWasTakenBackFirstWasLearnedFromByNothing) {
  const Peer& ada = broker_.As(Role::kLabeler, "ada");
  const std::string lease = Answer();
  const int64_t taken_back = label_;
  ASSERT_TRUE(ada.Call(ada.labeling, &v1::LabelingService::Stub::Undo, UndoOf(lease)).ok());
  Learn(v1::POLICY, Learn(v1::REWARD, Position()));
  const auto trace = Trace(taken_back);
  ASSERT_TRUE(trace.ok()) << trace.status();
  ASSERT_THAT(trace->entries(), SizeIs(2));
  EXPECT_FALSE(trace->entries(1).has_answer());
  EXPECT_FALSE(trace->has_reward());
  EXPECT_FALSE(trace->has_policy());
}

TEST_F(TraceTest, ALabelThatAnEnsembleHadAndAPolicySkippedIsLearnedFromByNoPolicy) {
  const Peer& ada = broker_.As(Role::kLabeler, "ada");
  const std::string lease = Answer();
  const int64_t taken_back = label_;
  const int64_t reward = Learn(v1::REWARD, Position());
  ASSERT_TRUE(ada.Call(ada.labeling, &v1::LabelingService::Stub::Undo, UndoOf(lease)).ok());
  Learn(v1::POLICY, Learn(v1::REWARD, Position()));
  const auto trace = Trace(taken_back);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->reward().version(), reward);
  EXPECT_FALSE(trace->has_policy());
}

// How many labels were told to be learned from by a policy, in the broker's log and metrics.
uint64_t LearnedByPolicies() {
  return metrics::GetAges("backflip_label_age_seconds", "", {{"until", "policy"}})
      .Collect()
      .histogram.sample_count;
}

TEST_F(TraceTest, ALabelIsToldOnceToBeLearnedFromWhoeverTellsFirst) {
  Answer();
  const int64_t position = Position();
  const uint64_t before = LearnedByPolicies();
  const int64_t reward = Publish(v1::REWARD);
  // the learner may be quicker than the trainer
  Learn(v1::POLICY, reward);
  EXPECT_EQ(LearnedByPolicies(), before);
  EXPECT_TRUE(Report(v1::REWARD, reward, position).ok());
  EXPECT_EQ(LearnedByPolicies(), before + 1);
  Learn(v1::POLICY, reward);
  EXPECT_EQ(LearnedByPolicies(), before + 1);
}

TEST_F(TraceTest, AnswersThatNothingIsTrainedOnHaveNoSnapshot) {
  Answer(v1::CANNOT_TELL);
  Learn(v1::POLICY, Learn(v1::REWARD, Position()));
  const auto trace = Trace(label_);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_FALSE(trace->has_reward());
}

TEST_F(TraceTest, SourcesAreReportedOnceUnderTheNewestClaimAndOfSnapshotsThatThereAre) {
  Answer();
  const int64_t reward = Learn(v1::REWARD, Position());
  // the first report stands
  EXPECT_TRUE(Report(v1::REWARD, reward, 0).ok());
  EXPECT_TRUE(Trace(label_)->has_reward());
  EXPECT_TRUE(absl::IsNotFound(Report(v1::REWARD, reward + 1, 1)));
  EXPECT_TRUE(absl::IsAborted(Report(v1::REWARD, reward, 1, /*epochs=*/-1)));
  const Peer& trainer = broker_.As(Role::kTrainer);
  v1::ReportSourcesRequest of_learner;
  of_learner.set_kind(v1::POLICY);
  EXPECT_EQ(trainer
                .Call(v1::TraceService::NewStub(trainer.client.channel()),
                      &v1::TraceService::Stub::ReportSources, of_learner)
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(TraceTest, AReviewerOfOtherRunsSeesNothingAndAnUnknownLabelIsSaidToBeOne) {
  Answer();
  broker_.Token(Role::kReviewer, "guest");
  Query(broker_.database(), absl::StrCat("UPDATE callers SET run_ids = ARRAY[", run_id_ + 1,
                                         "]::bigint[] WHERE name = 'guest'"));
  EXPECT_EQ(Code(Trace(label_, Role::kReviewer, "guest")), absl::StatusCode::kPermissionDenied);
  const auto unknown = Trace(label_ + 1000);
  EXPECT_EQ(Code(unknown), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(unknown), HasSubstr("labels export"));
}

}  // namespace
}  // namespace backflip::testing
