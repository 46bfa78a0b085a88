// What reviewers and operators see, take out, bring in, and ask.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/hash.h"
#include "common/nn/snapshot.h"
#include "common/run/snapshot_client.h"
#include "services/preference_broker/store/clips.h"
#include "services/preference_broker/store/questions.h"
#include "services/preference_broker/store/review.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using broker::Role;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Labeling = v1::LabelingService::Stub;
using Review = v1::ReviewService::Stub;
using Runs = v1::RunService::Stub;

constexpr char kWithPeople[] = "labels: 1000 seed: 5 lockstep: false";

template <typename T>
absl::StatusCode Code(const absl::StatusOr<T>& result) {
  return result.status().code();
}
template <typename T>
std::string Message(const absl::StatusOr<T>& result) {
  return std::string(result.status().message());
}

// The clip of the greater value, which its first number tells, is better.
v1::Choice Honest(const v1::Question& question) {
  const float left = question.clips(0).poses().poses(0), right = question.clips(1).poses().poses(0);
  return left > right ? v1::LEFT : left < right ? v1::RIGHT : v1::TIE;
}
v1::Choice Inverted(const v1::Question& question) {
  const v1::Choice choice = Honest(question);
  return choice == v1::LEFT ? v1::RIGHT : choice == v1::RIGHT ? v1::LEFT : choice;
}

class ReviewTest : public ::testing::Test {
 protected:
  // A running run; `questions` of them are open, with `overlap` answers wanted.
  void Start(int questions, int overlap = 1, const std::string& spec = kWithPeople, bool has_true_reward = false) {
    run_ = broker_.CreateRun(spec, has_true_reward);
    learner_claim_ = broker_.Claim(Role::kLearner);
    trainer_claim_ = broker_.Claim(Role::kTrainer);
    clips_ = broker_.Upload(run_.id(), 0, 2 * questions + 2, has_true_reward);
    const std::vector<std::string> asked(clips_.begin(), clips_.begin() + 2 * questions);
    const auto opened = broker_.Open(run_.id(), trainer_claim_.epoch(), 0, asked, overlap);
    ASSERT_TRUE(opened.ok()) << opened.status();
  }

  // Answers up to `count` questions. Returns the labels.
  std::vector<int64_t> Answer(const std::string& name, int count,
                              const std::function<v1::Choice(const v1::Question&)>& choose, const std::string& note = "") {
    const Peer& peer = broker_.As(Role::kLabeler, name);
    std::vector<int64_t> labels;
    while (static_cast<int>(labels.size()) < count) {
      v1::LeaseRequest lease;
      lease.set_count(std::min<int>(16, count - labels.size()));
      const auto leased = peer.Call(peer.labeling, &Labeling::Lease, lease);
      EXPECT_TRUE(leased.ok()) << leased.status();
      if (!leased.ok() || leased->questions_size() == 0) break;
      for (const v1::Question& question : leased->questions()) {
        v1::SubmitRequest submit;
        submit.set_lease_id(question.lease_id());
        submit.set_idempotency_key(NewId());
        submit.mutable_answer()->set_choice(choose(question));
        submit.mutable_timing()->set_decision_ms(3000);
        submit.mutable_timing()->set_active_ms(2000);
        submit.set_note(note);
        const auto label = peer.Call(peer.labeling, &Labeling::Submit, submit);
        EXPECT_TRUE(label.ok()) << label.status();
        if (!label.ok()) return labels;
        labels.push_back(label->label_id());
      }
    }
    return labels;
  }

  // The dashboard once it is as wanted.
  v1::Dashboard WatchUntil(const std::function<bool(const v1::Dashboard&)>& wanted) {
    v1::WatchDashboardRequest watch;
    watch.set_run_id(run_.id());
    watch.set_wait_ms(5000);
    for (int i = 0; i < 20; ++i) {
      const auto dashboard = reviewer_.Call(reviewer_.review, &Review::Watch, watch);
      EXPECT_TRUE(dashboard.ok()) << dashboard.status();
      if (!dashboard.ok() || wanted(*dashboard)) return dashboard.ok() ? *dashboard : v1::Dashboard();
      watch.set_since_revision(dashboard->run().revision());
    }
    ADD_FAILURE() << "the dashboard never came to show it";
    return {};
  }
  v1::Dashboard WatchUntilLabels(int64_t labels) {
    return WatchUntil([=](const v1::Dashboard& dashboard) { return dashboard.run().labels() == labels; });
  }

  absl::StatusOr<v1::ListLabelsResponse> List(const std::string& filter) {
    auto request = Parse<v1::ListLabelsRequest>(filter);
    request.set_run_id(run_.id());
    return reviewer_.Call(reviewer_.review, &Review::ListLabels, request);
  }
  absl::StatusOr<v1::GetClipsResponse> Clips(const std::vector<std::string>& ids, int newest = 0) {
    v1::GetClipsRequest request;
    request.set_run_id(run_.id());
    for (const std::string& id : ids) request.add_clip_ids(id);
    request.set_newest(newest);
    return reviewer_.Call(reviewer_.review, &Review::GetClips, request);
  }
  std::string Sql(const std::string& sql) { return Query(broker_.database(), sql); }

  TestBroker broker_;
  Peer& operator_ = broker_.As(Role::kOperator);
  Peer& reviewer_ = broker_.As(Role::kReviewer);
  Peer& worker_ = broker_.As(Role::kWorker);
  v1::Run run_;
  v1::ClaimResponse learner_claim_, trainer_claim_;
  std::vector<std::string> clips_;
};

TEST_F(ReviewTest, TheDashboardCountsQuestionsAndAgreementTurnedToClips) {
  Start(4, /*overlap=*/3);
  v1::WatchDashboardRequest watch;
  watch.set_run_id(run_.id());
  auto before = reviewer_.Call(reviewer_.review, &Review::Watch, watch);
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_EQ(before->open_questions(), 4);
  EXPECT_FALSE(before->agreement().has_nominal());
  EXPECT_EQ(before->active_labelers(), 0);

  Answer("anna", 4, Honest);
  Answer("berta", 4, Honest);
  v1::Dashboard agreed = WatchUntilLabels(8);
  EXPECT_EQ(agreed.open_questions(), 4);
  EXPECT_EQ(agreed.labels_last_hour(), 8);
  EXPECT_EQ(agreed.active_labelers(), 2);
  EXPECT_EQ(agreed.agreement().questions(), 4);
  EXPECT_EQ(agreed.agreement().answers(), 8);

  Answer("carla", 3, Inverted);
  Answer("carla", 1, [](const v1::Question&) { return v1::CANNOT_TELL; });
  const v1::Dashboard mixed = WatchUntil([](const v1::Dashboard& d) { return d.labels_last_hour() == 12; });
  EXPECT_EQ(mixed.open_questions(), 0);
  EXPECT_EQ(mixed.agreement().answers(), 11);
  // the second clip always is the better one: whoever sees that always says
  // the same, turned to the clips
  EXPECT_NEAR(mixed.agreement().nominal(), 1 - (11 - 1) * 3.0 / (8 * 3), 1e-9);
}

TEST_F(ReviewTest, TheDashboardIsWokenAndAnswersInTimeWithoutChange) {
  Start(1);
  v1::WatchDashboardRequest watch;
  watch.set_run_id(run_.id());
  watch.set_wait_ms(50);
  watch.set_since_revision(1'000'000);
  const auto unchanged = reviewer_.Call(reviewer_.review, &Review::Watch, watch);
  ASSERT_TRUE(unchanged.ok()) << unchanged.status();
  EXPECT_EQ(unchanged->run().id(), run_.id());
  EXPECT_EQ(unchanged->open_questions(), 1);
  watch.set_run_id(999);
  EXPECT_EQ(Code(reviewer_.Call(reviewer_.review, &Review::Watch, watch)), absl::StatusCode::kNotFound);
  watch.set_run_id(run_.id());
  watch.set_wait_ms(26'000);
  EXPECT_EQ(Code(reviewer_.Call(reviewer_.review, &Review::Watch, watch)), absl::StatusCode::kInvalidArgument);
}

TEST_F(ReviewTest, AlertsNamePausedLabelersBrokenClipsAndAGamedReward) {
  Start(1);
  Answer("anna", 1, [](const v1::Question&) { return v1::BROKEN; });
  Sql("UPDATE callers SET state = 'PAUSED', reason = 'Ten answers came faster than a clip.' WHERE name = 'anna'");
  // progress questions: newest first, and it never wins although predictions rise
  std::vector<v1::NewQuestion> asked;
  v1::OpenQuestionsRequest open;
  open.set_run_id(run_.id());
  open.set_epoch(trainer_claim_.epoch());
  open.set_round(1);
  std::vector<std::string> newest = broker_.Upload(run_.id(), 1, 10, /*has_true_reward=*/false);
  const std::vector<std::string> later = broker_.Upload(run_.id(), 9, 10, /*has_true_reward=*/false);
  newest.insert(newest.end(), later.begin(), later.end());
  EXPECT_EQ(newest.size(), 20);
  for (const std::string& clip : newest) {
    v1::NewQuestion* question = open.add_questions();
    question->add_clip_ids(clip);
    question->add_clip_ids(clips_[0]);
    question->set_purpose(v1::PROGRESS);
  }
  const Peer& trainer = broker_.As(Role::kTrainer);
  ASSERT_TRUE(trainer.Call(trainer.training, &v1::TrainingService::Stub::OpenQuestions, open).ok());
  const Peer& learner = broker_.As(Role::kLearner);
  for (const int iteration : {0, 1, 9}) {
    auto metrics = Parse<v1::ReportMetricsRequest>(
        absl::StrCat("values { key: 'predicted_return' value: ", iteration, " } iteration: ", iteration));
    metrics.set_run_id(run_.id());
    metrics.set_epoch(learner_claim_.epoch());
    ASSERT_TRUE(learner.Call(learner.runs, &Runs::ReportMetrics, metrics).ok());
  }
  Answer("berta", 20, [](const v1::Question&) { return v1::TIE; });
  const v1::Dashboard dashboard =
      WatchUntil([](const v1::Dashboard& d) { return d.progress_size() == 2 && d.alerts_size() == 3; });
  EXPECT_EQ(dashboard.progress(0).iteration(), 1);
  EXPECT_EQ(dashboard.progress(1).iteration(), 9);
  EXPECT_EQ(dashboard.progress(1).steps(), 10 * 8192);
  EXPECT_EQ(dashboard.progress(1).answers(), 10);
  EXPECT_EQ(dashboard.progress(1).win_rate(), 0.5);
  EXPECT_LT(dashboard.progress(1).low(), 0.3);
  EXPECT_GT(dashboard.progress(1).high(), 0.7);
  EXPECT_THAT(dashboard.alerts(0), HasSubstr("Predicted return rose from 1 (batch 1) to 9 (batch 9)"));
  EXPECT_THAT(dashboard.alerts(1), HasSubstr("1 answer of the last day"));
  EXPECT_THAT(dashboard.alerts(2), HasSubstr("Labeler anna is paused: Ten answers"));
}

TEST_F(ReviewTest, LabelsAreListedNewestFirstByPageAndFilter) {
  Start(6);
  const auto first = Answer("anna", 3, Honest);
  const auto second = Answer("berta", 1, [](const v1::Question&) { return v1::CANNOT_TELL; }, "too dark <b>\n");
  const auto third = Answer("berta", 2, Honest);
  auto page = List("limit: 4");
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->labels_size(), 4);
  EXPECT_TRUE(page->more());
  EXPECT_EQ(page->labels(0).label_id(), third[1]);
  EXPECT_EQ(page->labels(3).label_id(), first[2]);
  page = List(absl::StrCat("limit: 4 before_label_id: ", first[2]));
  ASSERT_EQ(page->labels_size(), 2);
  EXPECT_FALSE(page->more());
  EXPECT_EQ(page->labels(1).label_id(), first[0]);

  page = List("labeler: 'berta' choice: CANNOT_TELL purpose: TRAIN");
  ASSERT_EQ(page->labels_size(), 1);
  const v1::ExportedLabel& label = page->labels(0);
  EXPECT_EQ(label.label_id(), second[0]);
  EXPECT_EQ(label.labeler(), "berta");
  EXPECT_EQ(label.timing().decision_ms(), 3000);
  EXPECT_EQ(label.schema(), 1);
  EXPECT_GT(label.issued_ms(), 0);
  EXPECT_GE(label.answered_ms(), label.issued_ms());
  page = List(absl::StrCat("question_id: ", label.question_id()));
  EXPECT_EQ(page->labels_size(), 1);
  EXPECT_EQ(List("purpose: GOLD")->labels_size(), 0);
}

TEST_F(ReviewTest, ReplacedLabelsAreListedWhenAskedFor) {
  Start(1);
  const Peer& anna = broker_.As(Role::kLabeler, "anna");
  const auto leased = anna.Call(anna.labeling, &Labeling::Lease, v1::LeaseRequest());
  ASSERT_TRUE(leased.ok() && leased->questions_size() == 1);
  v1::SubmitRequest submit;
  submit.set_lease_id(leased->questions(0).lease_id());
  submit.set_idempotency_key(NewId());
  submit.mutable_answer()->set_choice(v1::LEFT);
  const auto first = anna.Call(anna.labeling, &Labeling::Submit, submit);
  ASSERT_TRUE(first.ok()) << first.status();
  submit.set_idempotency_key(NewId());
  submit.mutable_answer()->set_choice(v1::TIE);
  submit.set_supersedes(first->label_id());
  ASSERT_TRUE(anna.Call(anna.labeling, &Labeling::Submit, submit).ok());
  const auto standing = List("");
  ASSERT_EQ(standing->labels_size(), 1);
  EXPECT_EQ(standing->labels(0).answer().choice(), v1::TIE);
  EXPECT_EQ(standing->labels(0).undo_count(), 1);
  EXPECT_EQ(List("superseded: true")->labels_size(), 2);
}

TEST_F(ReviewTest, ListLabelsRefusesWhatIsNotThere) {
  Start(1);
  EXPECT_EQ(Code(List("labeler: 'nobody'")), absl::StatusCode::kNotFound);
  EXPECT_EQ(Code(List("question_id: 4711")), absl::StatusCode::kNotFound);
  EXPECT_EQ(Code(List("limit: 201")), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(List("limit: -1")), absl::StatusCode::kInvalidArgument);
  run_.set_id(77);
  const auto unknown = List("");
  EXPECT_EQ(Code(unknown), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(unknown), HasSubstr("run 77"));
}

TEST_F(ReviewTest, DisputedQuestionsComeWithAllTheirAnswersMostMixedFirst) {
  Start(3, /*overlap=*/3);
  const auto by_value = [](const v1::Question& question) { return question.clips(0).poses().poses(0) + question.clips(1).poses().poses(0); };
  // question 0 (values 0, 1): three minds; 1 (2, 3): one against two; 2: all agree
  Answer("anna", 3, Honest);
  Answer("berta", 3, [&](const v1::Question& q) { return by_value(q) == 1 ? v1::TIE : Honest(q); });
  Answer("carla", 3, [&](const v1::Question& q) { return by_value(q) <= 5 ? Inverted(q) : Honest(q); });
  v1::ListDisagreementsRequest request;
  request.set_run_id(run_.id());
  const auto disputed = reviewer_.Call(reviewer_.review, &Review::ListDisagreements, request);
  ASSERT_TRUE(disputed.ok()) << disputed.status();
  ASSERT_EQ(disputed->questions_size(), 2);
  EXPECT_NEAR(disputed->questions(0).disagreement(), 1, 1e-9);
  EXPECT_THAT(disputed->questions(0).clip_ids(), ElementsAre(clips_[0], clips_[1]));
  ASSERT_EQ(disputed->questions(0).answers_size(), 3);
  EXPECT_EQ(disputed->questions(0).answers(0).labeler(), "anna");
  EXPECT_EQ(disputed->questions(0).answers(0).answer().choice(), v1::RIGHT);  // the second is better
  EXPECT_EQ(disputed->questions(0).answers(1).answer().choice(), v1::TIE);
  EXPECT_EQ(disputed->questions(0).answers(2).answer().choice(), v1::LEFT);
  EXPECT_NEAR(disputed->questions(1).disagreement(), -(std::log(1.0 / 3) + 2 * std::log(2.0 / 3)) / 3 / std::log(3.0), 1e-9);
  request.set_limit(1);
  EXPECT_EQ(reviewer_.Call(reviewer_.review, &Review::ListDisagreements, request)->questions_size(), 1);
  request.set_limit(51);
  EXPECT_EQ(Code(reviewer_.Call(reviewer_.review, &Review::ListDisagreements, request)), absl::StatusCode::kInvalidArgument);
  request.set_limit(0);
  request.set_run_id(999);
  EXPECT_EQ(Code(reviewer_.Call(reviewer_.review, &Review::ListDisagreements, request)), absl::StatusCode::kNotFound);
}

TEST_F(ReviewTest, ClipsAreDrawnByIdInOrderOrTheNewest) {
  Start(2);
  const auto by_id = Clips({clips_[3], clips_[1]});
  ASSERT_TRUE(by_id.ok()) << by_id.status();
  ASSERT_EQ(by_id->clips_size(), 2);
  EXPECT_EQ(by_id->clips(0).clip_id(), clips_[3]);
  EXPECT_EQ(by_id->clips(0).poses().poses(0), 3);
  EXPECT_EQ(by_id->clips(0).steps(), 3);
  EXPECT_EQ(by_id->clips(1).clip_id(), clips_[1]);
  broker_.Upload(run_.id(), 4, 3, /*has_true_reward=*/false);
  const auto newest = Clips({}, 16);
  ASSERT_EQ(newest->clips_size(), 3);
  EXPECT_EQ(newest->clips(0).iteration(), 4);
  EXPECT_EQ(Clips({}, 2)->clips_size(), 2);
}

TEST_F(ReviewTest, GetClipsRefusesWhatIsNotThereAndTooMuch) {
  Start(8);
  const auto unknown = Clips({clips_[0], std::string(64, 'a')});
  EXPECT_EQ(Code(unknown), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(unknown), HasSubstr("aaaa"));
  const auto many = Clips({clips_.begin(), clips_.begin() + 17});
  EXPECT_EQ(Code(many), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(many), HasSubstr("from 0 to 16"));
  EXPECT_EQ(Code(Clips({}, 17)), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(Clips({})), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(Clips({"../../etc"})), absl::StatusCode::kInvalidArgument);
  run_.set_id(0);
  EXPECT_EQ(Code(Clips({}, 1)), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace backflip::testing
