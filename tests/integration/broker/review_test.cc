// What reviewers and operators see, take out, bring in, and ask.
#include "services/preference_broker/store/review/review.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/hash.h"
#include "common/client/snapshot_client.h"
#include "common/nn/snapshot.h"
#include "services/preference_broker/store/labeling/questions.h"
#include "services/preference_broker/store/runs/clips.h"
#include "tests/integration/broker/fixtures.h"
#include "tests/support/await.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Labeling = v1::LabelingService::Stub;
using Review = v1::ReviewService::Stub;
using Runs = v1::RunService::Stub;

// Rules are off: these people answer at once.
constexpr char kWithPeople[] =
    "labels: 1000 seed: 5 lockstep: false quality { max_fast_answers: 0 max_cannot_tells: 0 "
    "max_one_sided: 0 }";

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
  void Start(int questions, int overlap = 1, const std::string& spec = kWithPeople,
             bool has_true_reward = false) {
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
                              const std::function<v1::Choice(const v1::Question&)>& choose,
                              const std::string& note = "") {
    const Peer& peer = broker_.As(Role::kLabeler, name);
    std::vector<int64_t> labels;
    while (static_cast<int>(labels.size()) < count) {
      v1::LeaseRequest lease;
      lease.set_count(std::min<int>(16, count - labels.size()));
      const auto leased = peer.Call(peer.labeling, &Labeling::Lease, lease);
      EXPECT_TRUE(leased.ok()) << leased.status();
      if (!leased.ok() || leased->questions_size() == 0) break;
      for (const v1::Question& question : leased->questions()) {
        v1::SubmitRequest submit = AnswerTo(question.lease_id(), choose(question));
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
    const absl::Time give_up = absl::Now() + kPatience;
    while (absl::Now() < give_up) {
      const auto dashboard = reviewer_.Call(reviewer_.review, &Review::Watch, watch);
      EXPECT_TRUE(dashboard.ok()) << dashboard.status();
      if (!dashboard.ok() || wanted(*dashboard))
        return dashboard.ok() ? *dashboard : v1::Dashboard();
      watch.set_since_revision(dashboard->run().revision());
    }
    ADD_FAILURE() << "the dashboard never came to show it";
    return {};
  }
  v1::Dashboard WatchUntilLabels(int64_t labels) {
    return WatchUntil(
        [=](const v1::Dashboard& dashboard) { return dashboard.run().labels() == labels; });
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
  // The first entries of a run's feed.
  std::vector<v1::LabelEntry> Feed(int64_t run_id, int count) {
    const Peer& trainer = broker_.As(Role::kTrainer);
    const auto context = trainer.client.UnaryContext(absl::Seconds(30));
    v1::FollowLabelsRequest request;
    request.set_run_id(run_id);
    request.set_from_position(1);
    const auto reader = trainer.training->FollowLabels(context.get(), request);
    std::vector<v1::LabelEntry> entries;
    std::set<std::string> clips;
    v1::LabelFeedMessage message;
    while (static_cast<int>(entries.size()) < count && reader->Read(&message)) {
      if (message.has_clip()) {
        clips.insert(message.clip().clip_id());
        first_numbers_[message.clip().clip_id()] = message.clip().clip().observations(0);
      }
      if (!message.has_entry()) continue;
      for (const std::string& clip : message.entry().clip_ids()) EXPECT_EQ(clips.count(clip), 1);
      entries.push_back(message.entry());
    }
    context->TryCancel();
    EXPECT_EQ(entries.size(), count);
    return entries;
  }
  // What an honest labeler says of an entry that Feed has read.
  v1::Choice Better(const v1::LabelEntry& entry) {
    const float first = first_numbers_[entry.clip_ids(0)],
                second = first_numbers_[entry.clip_ids(1)];
    return first > second ? v1::LEFT : first < second ? v1::RIGHT : v1::TIE;
  }
  std::string Sql(const std::string& sql) { return Query(broker_.database(), sql); }

  TestBroker broker_;
  Peer& operator_ = broker_.As(Role::kOperator);
  Peer& reviewer_ = broker_.As(Role::kReviewer);
  Peer& worker_ = broker_.As(Role::kWorker);
  v1::Run run_;
  v1::ClaimResponse learner_claim_, trainer_claim_;
  std::vector<std::string> clips_;
  std::map<std::string, float> first_numbers_;
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
  const v1::Dashboard mixed =
      WatchUntil([](const v1::Dashboard& d) { return d.labels_last_hour() == 12; });
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
  EXPECT_EQ(Code(reviewer_.Call(reviewer_.review, &Review::Watch, watch)),
            absl::StatusCode::kNotFound);
  watch.set_run_id(run_.id());
  watch.set_wait_ms(26'000);
  EXPECT_EQ(Code(reviewer_.Call(reviewer_.review, &Review::Watch, watch)),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ReviewTest, AlertsNamePausedLabelersBrokenClipsAndAGamedReward) {
  Start(1);
  Answer("anna", 1, [](const v1::Question&) { return v1::BROKEN; });
  Sql("UPDATE callers SET state = 'PAUSED', reason = 'Ten answers came faster than a clip.' WHERE "
      "name = 'anna'");
  // progress questions: newest first, and it never wins although predictions rise
  std::vector<v1::NewQuestion> asked;
  v1::OpenQuestionsRequest open;
  open.set_run_id(run_.id());
  open.set_epoch(trainer_claim_.epoch());
  open.set_round(1);
  std::vector<std::string> newest = broker_.Upload(run_.id(), 1, 10, /*has_true_reward=*/false);
  const std::vector<std::string> later =
      broker_.Upload(run_.id(), 9, 10, /*has_true_reward=*/false);
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
    auto metrics = Parse<v1::ReportMetricsRequest>(absl::StrCat(
        "values { key: 'predicted_return' value: ", iteration, " } iteration: ", iteration));
    metrics.set_run_id(run_.id());
    metrics.set_epoch(learner_claim_.epoch());
    ASSERT_TRUE(learner.Call(learner.runs, &Runs::ReportMetrics, metrics).ok());
  }
  Answer("berta", 20, [](const v1::Question&) { return v1::TIE; });
  const v1::Dashboard dashboard = WatchUntil(
      [](const v1::Dashboard& d) { return d.progress_size() == 2 && d.alerts_size() == 3; });
  EXPECT_EQ(dashboard.progress(0).iteration(), 1);
  EXPECT_EQ(dashboard.progress(1).iteration(), 9);
  EXPECT_EQ(dashboard.progress(1).steps(), 10 * 8192);
  EXPECT_EQ(dashboard.progress(1).answers(), 10);
  EXPECT_EQ(dashboard.progress(1).win_rate(), 0.5);
  EXPECT_LT(dashboard.progress(1).low(), 0.3);
  EXPECT_GT(dashboard.progress(1).high(), 0.7);
  EXPECT_THAT(dashboard.alerts(0),
              HasSubstr("Predicted return rose from 1 (batch 1) to 9 (batch 9)"));
  EXPECT_THAT(dashboard.alerts(1), HasSubstr("1 answer of the last day"));
  EXPECT_THAT(dashboard.alerts(2), HasSubstr("Labeler anna is paused: Ten answers"));
}

TEST_F(ReviewTest, LabelsAreListedNewestFirstByPageAndFilter) {
  Start(6);
  const auto first = Answer("anna", 3, Honest);
  const auto second =
      Answer("berta", 1, [](const v1::Question&) { return v1::CANNOT_TELL; }, "too dark <b>\n");
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
  v1::SubmitRequest submit = AnswerTo(leased->questions(0).lease_id(), v1::LEFT);
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

TEST_F(ReviewTest, NamesAndNotesAreTextToEveryFilter) {
  const std::pair<std::string, std::string> said[] = {
      {"<b>bold</b>", "<script>alert(1)</script> &amp; <img src=x onerror=y>"},
      {"100%", "100 % sure, or 50%"},
      {"1000", "a_b"},
      {"a_b", "axb"},
      {"axb", R"(C:\new\table, \x41, \')"},
      {R"(back\slash)", "two lines\nof a note"},
      {"it's \"quoted\"", "'; DROP TABLE labels; --"},
      {"silent", ""}};
  Start(std::size(said));
  std::vector<int64_t> labels;
  for (const auto& [name, note] : said) {
    const auto answered = Answer(name, 1, [](const v1::Question&) { return v1::TIE; }, note);
    ASSERT_EQ(answered.size(), 1u) << name;
    labels.push_back(answered[0]);
  }
  const auto by = [&](const std::string& name, const std::string& more = "") {
    return List(absl::StrCat("labeler: \"", absl::CEscape(name), "\" ", more));
  };
  for (size_t i = 0; i < std::size(said); ++i) {
    const auto& [name, note] = said[i];
    SCOPED_TRACE(name);
    const auto page = by(name);
    ASSERT_TRUE(page.ok()) << page.status();
    ASSERT_EQ(page->labels_size(), 1);
    EXPECT_EQ(page->labels(0).label_id(), labels[i]);
    EXPECT_EQ(page->labels(0).labeler(), name);
    EXPECT_EQ(page->labels(0).note(), note);
    EXPECT_EQ(by(name, "with_note: true")->labels_size(), note.empty() ? 0 : 1);
  }
  // what would match several, were it a pattern
  for (const char* const pattern :
       {"%", "_", "100_", "a%b", R"(back\\slash)", "' OR true --", "<b>", "SILENT"}) {
    const auto none = by(pattern);
    EXPECT_EQ(Code(none), absl::StatusCode::kNotFound) << pattern;
    EXPECT_THAT(Message(none), HasSubstr(absl::StrCat("'", pattern, "'")));
  }
  const auto noted = List("with_note: true");
  ASSERT_TRUE(noted.ok()) << noted.status();
  ASSERT_EQ(noted->labels_size(), static_cast<int>(std::size(said)) - 1);
  for (int i = 0; i < noted->labels_size(); ++i) {
    EXPECT_EQ(noted->labels(i).note(), said[std::size(said) - 2 - i].second);
  }
}

TEST_F(ReviewTest, FiltersNarrowEachOther) {
  Start(8);
  const std::vector<v1::Choice> choices = {v1::LEFT, v1::RIGHT, v1::TIE, v1::CANNOT_TELL,
                                           v1::BROKEN};
  std::map<v1::Choice, int64_t> label_of;
  for (const v1::Choice choice : choices) {
    label_of[choice] = Answer(
        "anna", 1, [=](const v1::Question&) { return choice; },
        choice == v1::BROKEN ? "black" : "")[0];
  }
  const auto berta =
      Answer("berta", 2, [](const v1::Question&) { return v1::BROKEN; }, "black too");
  for (const v1::Choice choice : choices) {
    const std::string only = absl::StrCat("labeler: 'anna' choice: ", v1::Choice_Name(choice));
    const auto page = List(only);
    ASSERT_TRUE(page.ok()) << page.status();
    ASSERT_EQ(page->labels_size(), 1) << only;
    EXPECT_EQ(page->labels(0).label_id(), label_of[choice]);
    EXPECT_EQ(page->labels(0).answer().choice(), choice);
    EXPECT_EQ(List(only + " with_note: true")->labels_size(), choice == v1::BROKEN ? 1 : 0);
    EXPECT_EQ(List(only + " purpose: PROGRESS")->labels_size(), 0);
    EXPECT_EQ(
        List(absl::StrCat(only, " question_id: ", page->labels(0).question_id()))->labels_size(),
        1);
    EXPECT_EQ(List(absl::StrCat(only, " before_label_id: ", label_of[choice]))->labels_size(), 0);
  }
  const auto broken = List("choice: BROKEN limit: 2");
  ASSERT_EQ(broken->labels_size(), 2);
  EXPECT_TRUE(broken->more());
  EXPECT_EQ(broken->labels(0).label_id(), berta[1]);
  const auto rest =
      List(absl::StrCat("choice: BROKEN limit: 2 before_label_id: ", broken->labels(1).label_id()));
  ASSERT_EQ(rest->labels_size(), 1);
  EXPECT_FALSE(rest->more());
  EXPECT_EQ(rest->labels(0).label_id(), label_of[v1::BROKEN]);
  // labels of another run are not among them, nor is a question of it
  const std::string question = absl::StrCat("question_id: ", rest->labels(0).question_id());
  run_ = broker_.CreateRun(kWithPeople);
  EXPECT_EQ(List("")->labels_size(), 0);
  EXPECT_EQ(Code(List(question)), absl::StatusCode::kNotFound);
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
  const auto by_value = [](const v1::Question& question) {
    return question.clips(0).poses().poses(0) + question.clips(1).poses().poses(0);
  };
  // question 0 (values 0, 1): three minds; 1 (2, 3): one against two; 2: all agree
  Answer("anna", 3, Honest);
  Answer("berta", 3, [&](const v1::Question& q) { return by_value(q) == 1 ? v1::TIE : Honest(q); });
  Answer("carla", 3,
         [&](const v1::Question& q) { return by_value(q) <= 5 ? Inverted(q) : Honest(q); });
  v1::ListDisagreementsRequest request;
  request.set_run_id(run_.id());
  const auto disputed = reviewer_.Call(reviewer_.review, &Review::ListDisagreements, request);
  ASSERT_TRUE(disputed.ok()) << disputed.status();
  ASSERT_EQ(disputed->questions_size(), 2);
  EXPECT_NEAR(disputed->questions(0).disagreement(), 1, 1e-9);
  EXPECT_THAT(disputed->questions(0).clip_ids(), ElementsAre(clips_[0], clips_[1]));
  ASSERT_EQ(disputed->questions(0).answers_size(), 3);
  EXPECT_EQ(disputed->questions(0).answers(0).labeler(), "anna");
  EXPECT_EQ(disputed->questions(0).answers(0).answer().choice(),
            v1::RIGHT);  // the second is better
  EXPECT_EQ(disputed->questions(0).answers(1).answer().choice(), v1::TIE);
  EXPECT_EQ(disputed->questions(0).answers(2).answer().choice(), v1::LEFT);
  EXPECT_NEAR(disputed->questions(1).disagreement(),
              -(std::log(1.0 / 3) + 2 * std::log(2.0 / 3)) / 3 / std::log(3.0), 1e-9);
  request.set_limit(1);
  EXPECT_EQ(reviewer_.Call(reviewer_.review, &Review::ListDisagreements, request)->questions_size(),
            1);
  request.set_limit(51);
  EXPECT_EQ(Code(reviewer_.Call(reviewer_.review, &Review::ListDisagreements, request)),
            absl::StatusCode::kInvalidArgument);
  request.set_limit(0);
  request.set_run_id(999);
  EXPECT_EQ(Code(reviewer_.Call(reviewer_.review, &Review::ListDisagreements, request)),
            absl::StatusCode::kNotFound);
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

// A recorded episode of `steps` steps whose observations count them.
v1::Clip Recording(int64_t version, int32_t steps) {
  v1::Clip clip;
  clip.set_steps(steps);
  for (int i = 0; i <= steps; ++i) {
    for (int k = 0; k < 2; ++k) clip.add_observations(i);
    for (int k = 0; k < 2 * 7; ++k) clip.mutable_poses()->add_poses(100 * i + k);
    for (int k = 0; k < 5; ++k) clip.add_states(0.5 * i);
  }
  for (int i = 0; i < steps; ++i) clip.add_actions(0.5f);
  clip.mutable_poses()->set_bodies(2);
  clip.set_policy_version(version);
  clip.set_iteration(3);
  return clip;
}

class EpisodeTest : public ReviewTest {
 protected:
  absl::StatusOr<v1::ReportEvaluationResponse> Record(const v1::Clip& recording) {
    v1::ReportEvaluationRequest request;
    request.set_run_id(run_.id());
    broker_.Reach(run_.id(), recording.policy_version());
    *request.mutable_recording() = recording;
    return worker_.Call(worker_.runs, &Runs::ReportEvaluation, request);
  }
  absl::StatusOr<v1::Episode> Get(int64_t version = 0) {
    v1::GetEpisodeRequest request;
    request.set_run_id(run_.id());
    request.set_policy_version(version);
    return reviewer_.Call(reviewer_.review, &Review::GetEpisode, request);
  }
  v1::AskAboutRequest Ask(int32_t step) {
    v1::AskAboutRequest request;
    request.set_request_id(NewId());
    request.set_run_id(run_.id());
    request.set_step(step);
    return request;
  }
  absl::StatusOr<v1::AskAboutResponse> AskAbout(const v1::AskAboutRequest& request) {
    return reviewer_.Call(reviewer_.review, &Review::AskAbout, request);
  }
};

TEST_F(EpisodeTest, AnEpisodeComesWithWhatTheNewestEnsembleThinksOfIt) {
  Start(1);
  EXPECT_EQ(Code(Get()), absl::StatusCode::kNotFound);
  ASSERT_TRUE(Record(Recording(7, 12)).ok());
  ASSERT_TRUE(Record(Recording(4, 10)).ok());
  ASSERT_TRUE(Record(Recording(7, 11)).ok());  // a repeated call changes nothing
  auto episode = Get();
  ASSERT_TRUE(episode.ok()) << episode.status();
  EXPECT_EQ(episode->policy_version(), 7);
  EXPECT_EQ(episode->steps(), 12);
  EXPECT_EQ(episode->poses().poses_size(), 13 * 2 * 7);
  EXPECT_EQ(episode->playback_fps(), 40);
  EXPECT_THAT(episode->recorded_versions(), ElementsAre(4, 7));
  EXPECT_EQ(episode->predicted_reward_size(), 0);
  const auto other = Get(5);
  EXPECT_EQ(Code(other), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(other), HasSubstr("4, 7"));

  // two members: the sum of the observations, and twice that
  nn::Snapshot snapshot;
  snapshot.metadata = {{"kind", "reward"},           {"members", "2"},
                       {"observations", "2"},        {"layers", "3,1"},
                       {"activation", "leaky_relu"}, {"observation_clip", "1000"},
                       {"action_clip", "1"}};
  snapshot.tensors["observation_mean"] = {{2}, {0, 0}};
  snapshot.tensors["observation_std"] = {{2}, {1, 1}};
  snapshot.tensors["member_mean"] = {{2}, {0, 0}};
  snapshot.tensors["member_std"] = {{2}, {1, 1}};
  snapshot.tensors["layer0.weight"] = {{2, 3, 1}, {1, 1, 0, 2, 2, 0}};
  snapshot.tensors["layer0.bias"] = {{2, 1}, {0, 0}};
  v1::SnapshotInfo info;
  info.set_run_id(run_.id());
  info.set_kind(v1::REWARD);
  info.set_iteration(1);
  const Peer& trainer = broker_.As(Role::kTrainer);
  ASSERT_TRUE(client::PublishSnapshot(trainer.client, trainer_claim_.epoch(), info,
                                      snapshot.Encode(), nullptr)
                  .ok());
  episode = Get(4);
  ASSERT_TRUE(episode.ok()) << episode.status();
  ASSERT_EQ(episode->predicted_reward_size(), 10);
  ASSERT_EQ(episode->deviation_size(), 10);
  for (int step = 0; step < 10; ++step) {
    EXPECT_NEAR(episode->predicted_reward(step), 3 * step, 1e-4);
    EXPECT_NEAR(episode->deviation(step), step, 1e-4);
  }
}

TEST_F(EpisodeTest, ARecordingIsCheckedBeforeItIsStored) {
  Start(1);
  v1::Clip recording = Recording(1, 10);
  recording.set_observations(3, std::numeric_limits<float>::quiet_NaN());
  const auto nan = Record(recording);
  EXPECT_EQ(Code(nan), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(nan), HasSubstr("recording.observations[3]"));
  EXPECT_EQ(Code(Record(Recording(1, 1001))), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(Record(Recording(0, 10))), absl::StatusCode::kInvalidArgument);
  recording = Recording(1, 10);
  recording.add_true_rewards(1);
  EXPECT_EQ(Code(Record(recording)), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(Get()), absl::StatusCode::kNotFound);
}

TEST_F(EpisodeTest, AMomentOfAnEpisodeBecomesAQuestionOnce) {
  Start(1);
  ASSERT_TRUE(Record(Recording(7, 12)).ok());
  broker_.Upload(run_.id(), 2, 4, /*has_true_reward=*/false);
  const v1::AskAboutRequest request = Ask(6);
  const auto asked = AskAbout(request);
  const auto again = AskAbout(request);
  ASSERT_TRUE(asked.ok() && again.ok()) << asked.status() << again.status();
  EXPECT_EQ(asked->question_id(), again->question_id());
  v1::AskAboutRequest other = request;
  other.set_step(7);
  EXPECT_EQ(Code(AskAbout(other)), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Sql("SELECT count(*) FROM questions WHERE selector = 'person' AND round IS NULL AND "
                "purpose = 'TRAIN'"),
            "1");
  EXPECT_EQ(Sql("SELECT count(*) FROM audit WHERE action = 'ask about'"), "1");

  // steps 5 to 7, which the labeler sees as poses
  const Peer& anna = broker_.As(Role::kLabeler, "anna");
  v1::LeaseRequest lease;
  lease.set_count(2);
  const auto leased = anna.Call(anna.labeling, &Labeling::Lease, lease);
  ASSERT_TRUE(leased.ok() && leased->questions_size() == 2);
  const v1::Question& question = leased->questions(1);
  std::set<float> firsts = {question.clips(0).poses().poses(0), question.clips(1).poses().poses(0)};
  EXPECT_EQ(firsts.count(500), 1);
  EXPECT_EQ(question.clips(0).steps(), 3);
  for (const v1::Question& each : leased->questions()) {
    v1::SubmitRequest submit = AnswerTo(each.lease_id(), v1::LEFT);
    ASSERT_TRUE(anna.Call(anna.labeling, &Labeling::Submit, submit).ok());
  }

  // the trainer gets it with its clips, outside of its rounds, which go on
  const auto feed = Feed(run_.id(), 2);
  ASSERT_EQ(feed.size(), 2);
  EXPECT_EQ(feed[1].question_id(), asked->question_id());
  EXPECT_EQ(feed[1].round(), -1);
  EXPECT_EQ(feed[1].ordinal(), 1);
  EXPECT_EQ(feed[1].purpose(), v1::TRAIN);
  EXPECT_TRUE(broker_.Open(run_.id(), trainer_claim_.epoch(), 1, {clips_[2], clips_[3]}).ok());
  WatchUntilLabels(2);
  const auto exported = List("");
  EXPECT_EQ(exported->labels(0).selector(), "person");
  EXPECT_EQ(exported->labels(0).round(), -1);

  // nobody chooses among what was cut
  v1::ListCandidatesRequest candidates;
  candidates.set_run_id(run_.id());
  candidates.set_max_iteration(100);
  candidates.set_after_iteration(-1);
  candidates.set_limit(1000);
  const Peer& trainer = broker_.As(Role::kTrainer);
  const auto listed = trainer.ReadAll<v1::Candidate>(
      trainer.clips, &v1::ClipService::Stub::ListCandidates, candidates);
  ASSERT_TRUE(listed.ok());
  EXPECT_EQ(listed->size(), 8);
}

TEST_F(EpisodeTest, AClipIsCutInsideTheEpisodeHoweverNearItsEndTheMomentIs) {
  Start(1);
  ASSERT_TRUE(Record(Recording(7, 12)).ok());
  ASSERT_TRUE(AskAbout(Ask(0)).ok());
  ASSERT_TRUE(AskAbout(Ask(11)).ok());
  const auto cut =
      Sql("SELECT string_agg(index::text, ' ' ORDER BY id) FROM clips WHERE NOT candidate");
  EXPECT_EQ(cut, "0 9");
}

TEST_F(EpisodeTest, ATeacherIsNotAskedAboutClipsWithoutATrueReward) {
  Start(1, 1, kWithPeople, /*has_true_reward=*/true);
  ASSERT_TRUE(Record(Recording(7, 12)).ok());
  ASSERT_TRUE(AskAbout(Ask(6)).ok());
  const Peer& teacher = broker_.As(Role::kTeacher);
  v1::LeaseRequest lease;
  lease.set_count(2);
  const auto leased = teacher.Call(teacher.labeling, &Labeling::Lease, lease);
  ASSERT_TRUE(leased.ok()) << leased.status();
  ASSERT_EQ(leased->questions_size(), 1);
  EXPECT_EQ(leased->questions(0).clips(0).true_rewards_size(), 3);
  EXPECT_EQ(Answer("anna", 2, Honest).size(), 1);
}

TEST_F(EpisodeTest, AReviewerAsksForAPartOfTheLabelsAndSoManyAnHourAndAnOperatorForMore) {
  Start(1, 1, "labels: 12 lockstep: false");
  ASSERT_TRUE(Record(Recording(7, 12)).ok());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(AskAbout(Ask(i)).ok());
  const auto more = AskAbout(Ask(3));
  EXPECT_EQ(Code(more), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(more), HasSubstr("a quarter of the labels"));
  EXPECT_TRUE(operator_.Call(operator_.review, &Review::AskAbout, Ask(3)).ok());
  Sql("INSERT INTO audit (caller_id, action) SELECT id, 'ask about' FROM callers, "
      "generate_series(1, 57) WHERE name = 'reviewer'");
  const auto too_often = AskAbout(Ask(4));
  EXPECT_EQ(Code(too_often), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(too_often), HasSubstr("ask again in 60 minutes"));
}

TEST_F(EpisodeTest, AskAboutRefusesWhatCannotBeAsked) {
  Start(1);
  EXPECT_EQ(Code(AskAbout(Ask(0))), absl::StatusCode::kNotFound);  // nothing recorded
  ASSERT_TRUE(Record(Recording(7, 12)).ok());
  EXPECT_EQ(Code(AskAbout(Ask(12))), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(AskAbout(Ask(-1))), absl::StatusCode::kInvalidArgument);
  v1::AskAboutRequest request = Ask(0);
  request.set_policy_version(6);
  EXPECT_EQ(Code(AskAbout(request)), absl::StatusCode::kNotFound);
  request = Ask(0);
  request.set_run_id(99);
  EXPECT_EQ(Code(AskAbout(request)), absl::StatusCode::kNotFound);
  request = Ask(0);
  request.set_request_id("x");
  EXPECT_EQ(Code(AskAbout(request)), absl::StatusCode::kInvalidArgument);
  v1::StopAskingRequest stop;
  stop.set_run_id(run_.id());
  ASSERT_TRUE(operator_.Call(operator_.runs, &Runs::StopAsking, stop).ok());
  EXPECT_EQ(Code(AskAbout(Ask(0))), absl::StatusCode::kFailedPrecondition);
  v1::CancelRunRequest cancel;
  cancel.set_run_id(run_.id());
  ASSERT_TRUE(operator_.Call(operator_.runs, &Runs::Cancel, cancel).ok());
  const auto over = AskAbout(Ask(0));
  EXPECT_EQ(Code(over), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(over), HasSubstr("CANCELLED"));
  Start(1, 1, "lockstep: true");
  ASSERT_TRUE(Record(Recording(7, 12)).ok());
  const auto lockstep = AskAbout(Ask(0));
  EXPECT_EQ(Code(lockstep), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(lockstep), HasSubstr("lockstep"));
  EXPECT_EQ(Sql("SELECT count(*) FROM questions WHERE selector = 'person'"), "0");
}

class GoldTest : public ReviewTest {
 protected:
  v1::AddGoldRequest Gold(int first, int second, v1::Choice answer = v1::RIGHT,
                          v1::GoldUse use = v1::CHECK) {
    v1::AddGoldRequest request;
    request.set_run_id(run_.id());
    request.add_clip_ids(clips_[first]);
    request.add_clip_ids(clips_[second]);
    request.set_answer(answer);
    request.set_explanation("It turns once.");
    request.set_use(use);
    return request;
  }
  absl::StatusOr<v1::GoldPair> Add(const v1::AddGoldRequest& request) {
    return reviewer_.Call(reviewer_.review, &Review::AddGold, request);
  }
  absl::StatusOr<v1::RemoveGoldResponse> Remove(int64_t id) {
    v1::RemoveGoldRequest request;
    request.set_gold_id(id);
    return reviewer_.Call(reviewer_.review, &Review::RemoveGold, request);
  }
  v1::ListGoldResponse ListGold() {
    v1::ListGoldRequest request;
    request.set_run_id(run_.id());
    const auto pairs = reviewer_.Call(reviewer_.review, &Review::ListGold, request);
    EXPECT_TRUE(pairs.ok()) << pairs.status();
    return pairs.ok() ? *pairs : v1::ListGoldResponse();
  }
};

TEST_F(GoldTest, APairIsMadeOnceHoweverItsClipsAreOrdered) {
  Start(2);
  const auto pair = Add(Gold(0, 1));
  ASSERT_TRUE(pair.ok()) << pair.status();
  EXPECT_THAT(pair->clip_ids(), ElementsAre(clips_[0], clips_[1]));
  EXPECT_EQ(pair->answer(), v1::RIGHT);
  EXPECT_EQ(Add(Gold(0, 1))->gold_id(), pair->gold_id());
  EXPECT_EQ(Add(Gold(1, 0, v1::LEFT))->gold_id(), pair->gold_id());
  EXPECT_NE(Add(Gold(0, 1, v1::RIGHT, v1::SHOW))->gold_id(), pair->gold_id());
  EXPECT_EQ(Code(Add(Gold(0, 1, v1::LEFT))), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ListGold().pairs_size(), 2);
}

TEST_F(GoldTest, ARemovedPairComesBackWithAnotherAnswerUnlessItWasAsked) {
  Start(2);
  const int64_t id = Add(Gold(0, 1))->gold_id();
  ASSERT_TRUE(Remove(id).ok());
  ASSERT_TRUE(Remove(id).ok());
  EXPECT_EQ(ListGold().pairs_size(), 0);
  const auto back = Add(Gold(1, 0, v1::RIGHT));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->gold_id(), id);
  EXPECT_EQ(back->answer(), v1::LEFT);
  EXPECT_EQ(ListGold().pairs_size(), 1);
}

TEST_F(GoldTest, RefusesWhatIsNoPair) {
  Start(2);
  EXPECT_EQ(Code(Add(Gold(0, 0))), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(Add(Gold(0, 1, v1::CANNOT_TELL))), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(Add(Gold(0, 1, v1::LEFT, v1::GOLD_USE_UNSPECIFIED))),
            absl::StatusCode::kInvalidArgument);
  v1::AddGoldRequest request = Gold(0, 1);
  request.set_clip_ids(1, std::string(64, 'b'));
  EXPECT_EQ(Code(Add(request)), absl::StatusCode::kNotFound);
  request = Gold(0, 1);
  request.set_run_id(99);
  EXPECT_EQ(Code(Add(request)), absl::StatusCode::kNotFound);
  request = Gold(0, 1);
  request.add_clip_ids(clips_[2]);
  EXPECT_EQ(Code(Add(request)), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(Remove(4711)), absl::StatusCode::kNotFound);
  EXPECT_EQ(ListGold().pairs_size(), 0);
}

// Labels and clips that leave a run and enter another.
class ExchangeTest : public ReviewTest {
 protected:
  struct Taken {
    std::vector<v1::Candidate> clips;
    std::vector<v1::ExportedLabel> labels;
  };
  Taken TakeOut(int64_t run_id) {
    Taken taken;
    v1::ExportClipsRequest clips;
    clips.set_run_id(run_id);
    auto exported = operator_.ReadAll<v1::Candidate>(operator_.review, &Review::ExportClips, clips);
    EXPECT_TRUE(exported.ok()) << exported.status();
    if (exported.ok()) taken.clips = *exported;
    v1::ExportRequest request;
    request.set_run_id(run_id);
    auto labels =
        operator_.ReadAll<v1::ExportedLabel>(operator_.labeling, &Labeling::Export, request);
    EXPECT_TRUE(labels.ok()) << labels.status();
    if (labels.ok()) taken.labels = *labels;
    return taken;
  }
  static v1::ImportLabelsRequest ClipItem(int64_t run_id, const v1::Candidate& clip) {
    v1::ImportLabelsRequest request;
    request.set_run_id(run_id);
    *request.mutable_clip() = clip;
    return request;
  }
  static v1::ImportLabelsRequest LabelItem(int64_t run_id, const v1::ExportedLabel& label) {
    v1::ImportLabelsRequest request;
    request.set_run_id(run_id);
    *request.mutable_label()->mutable_clip_ids() = label.clip_ids();
    *request.mutable_label()->mutable_answer() = label.answer();
    request.mutable_label()->set_labeler(label.labeler());
    request.mutable_label()->set_source_key(
        absl::StrCat("a run's label ", 100000 + label.label_id()));
    request.mutable_label()->set_answered_ms(label.answered_ms());
    *request.mutable_label()->mutable_timing() = label.timing();
    return request;
  }
  std::vector<v1::ImportLabelsRequest> Items(int64_t run_id, const Taken& taken) {
    std::vector<v1::ImportLabelsRequest> items;
    for (const auto& clip : taken.clips) items.push_back(ClipItem(run_id, clip));
    for (const auto& label : taken.labels) items.push_back(LabelItem(run_id, label));
    return items;
  }
  absl::StatusOr<v1::ImportLabelsResponse> Import(
      const std::vector<v1::ImportLabelsRequest>& items) {
    const auto context = operator_.client.UnaryContext(absl::Seconds(40));
    v1::ImportLabelsResponse response;
    const auto writer = operator_.review->ImportLabels(context.get(), &response);
    for (const auto& item : items) {
      if (!writer->Write(item)) break;
    }
    writer->WritesDone();
    const absl::Status status = rpc::FromGrpc(writer->Finish());
    if (!status.ok()) return status;
    return response;
  }
  std::string Counts() {
    return Sql(
        "SELECT (SELECT count(*) FROM clips) || ' ' || (SELECT count(*) FROM questions) || ' ' || "
        "(SELECT count(*) FROM labels) || ' ' || (SELECT count(*) FROM callers)");
  }
};

TEST_F(ExchangeTest, ClipsAreExportedWholeWithoutTrueRewardsInTheOrderAsked) {
  Start(2, 1, kWithPeople, /*has_true_reward=*/true);
  v1::ExportClipsRequest request;
  request.set_run_id(run_.id());
  request.add_clip_ids(clips_[3]);
  request.add_clip_ids(clips_[0]);
  const auto clips =
      reviewer_.ReadAll<v1::Candidate>(reviewer_.review, &Review::ExportClips, request);
  ASSERT_TRUE(clips.ok()) << clips.status();
  ASSERT_EQ(clips->size(), 2);
  EXPECT_EQ((*clips)[0].clip_id(), clips_[3]);
  v1::Clip expected = TestClip(3, 0, 0, 3);
  expected.clear_true_rewards();
  EXPECT_EQ((*clips)[0].clip().SerializeAsString(), expected.SerializeAsString());
  request.clear_clip_ids();
  const auto none =
      reviewer_.ReadAll<v1::Candidate>(reviewer_.review, &Review::ExportClips, request);
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->empty());  // nothing is labeled
  request.add_clip_ids(std::string(64, 'c'));
  EXPECT_EQ(Code(reviewer_.ReadAll<v1::Candidate>(reviewer_.review, &Review::ExportClips, request)),
            absl::StatusCode::kNotFound);
  request.clear_clip_ids();
  for (int i = 0; i < 1001; ++i) request.add_clip_ids(clips_[0]);
  EXPECT_EQ(Code(reviewer_.ReadAll<v1::Candidate>(reviewer_.review, &Review::ExportClips, request)),
            absl::StatusCode::kInvalidArgument);
  request.Clear();
  request.set_run_id(99);
  EXPECT_EQ(Code(reviewer_.ReadAll<v1::Candidate>(reviewer_.review, &Review::ExportClips, request)),
            absl::StatusCode::kNotFound);
}

TEST_F(ExchangeTest, WhatWasExportedIsImportedOnceAndTrainedOn) {
  Start(3, /*overlap=*/2, kWithPeople, /*has_true_reward=*/true);
  Answer("anna", 3, Honest);
  Answer("berta", 3, Honest);
  WatchUntilLabels(6);
  const Taken taken = TakeOut(run_.id());
  ASSERT_EQ(taken.labels.size(), 6);
  ASSERT_EQ(taken.clips.size(), 6);
  run_ = broker_.CreateRun(kWithPeople, true);
  const auto items = Items(run_.id(), taken);
  const auto imported = Import(items);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->labels(), 6);
  EXPECT_EQ(imported->clips(), 6);
  EXPECT_EQ(imported->known(), 0);
  WatchUntilLabels(6);
  // two labelers' answers to the same clips, on whichever sides, are to one question
  EXPECT_EQ(Sql(absl::StrCat("SELECT count(*) FROM questions WHERE run_id = ", run_.id())), "3");
  const Taken back = TakeOut(run_.id());
  ASSERT_EQ(back.labels.size(), 6);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(back.labels[i].labeler(), taken.labels[i].labeler());
    EXPECT_EQ(back.labels[i].answer().choice(), taken.labels[i].answer().choice());
    EXPECT_EQ(back.labels[i].answered_ms(), taken.labels[i].answered_ms());
    EXPECT_EQ(back.labels[i].timing().decision_ms(), 3000);
    EXPECT_EQ(back.labels[i].round(), -1);
  }
  for (const v1::LabelEntry& entry : Feed(run_.id(), 6)) {
    // the second of each pair was made the better one
    EXPECT_EQ(entry.purpose(), v1::TRAIN);
    EXPECT_EQ(entry.answer().choice(), Better(entry));
  }
  const std::string counts = Counts();
  const auto again = Import(items);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->labels(), 0);
  EXPECT_EQ(again->clips(), 0);
  EXPECT_EQ(again->known(), 6);
  EXPECT_EQ(Counts(), counts);
  // nobody is asked what was answered elsewhere
  EXPECT_TRUE(Answer("carla", 1, Honest).empty());
}

TEST_F(ExchangeTest, RankingsAreImportedListedAndAgreedOnAsTheirPairs) {
  Start(2);
  Answer("anna", 2, Honest);
  WatchUntilLabels(2);
  Taken taken = TakeOut(run_.id());
  run_ = broker_.CreateRun(kWithPeople, false);
  const auto ranking = [&](const std::string& labeler, bool turned, const std::string& answer) {
    v1::ImportLabelsRequest request;
    request.set_run_id(run_.id());
    v1::ImportedLabel* label = request.mutable_label();
    for (int i = 0; i < 3; ++i) label->add_clip_ids(taken.clips[turned ? 2 - i : i].clip_id());
    *label->mutable_answer() = Parse<v1::Answer>(answer);
    label->set_labeler(labeler);
    label->set_source_key(absl::StrCat("ranking of ", labeler, " number 1"));
    return request;
  };
  std::vector<v1::ImportLabelsRequest> items;
  for (int i = 0; i < 3; ++i) items.push_back(ClipItem(run_.id(), taken.clips[i]));
  const std::vector<v1::ImportLabelsRequest> clips = items;
  // 0 best, then 1 and 2 alike; the other labeler saw them in reverse and put 1 before 2
  items.push_back(ranking(
      "anna", false, "ranking { groups { positions: 0 } groups { positions: 1 positions: 2 } }"));
  items.push_back(ranking(
      "berta", true,
      "ranking { groups { positions: 2 } groups { positions: 1 } groups { positions: 0 } }"));
  const auto imported = Import(items);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->labels(), 2);
  const v1::Dashboard dashboard = WatchUntilLabels(2);
  EXPECT_EQ(dashboard.agreement().questions(), 1);
  EXPECT_EQ(dashboard.agreement().answers(), 2);
  // of three pairs two are agreed on, and first-better is all that was said but for one tie
  EXPECT_NEAR(dashboard.agreement().nominal(), 1 - (6 - 1) * 1.0 / (5 * 1), 1e-9);
  v1::ListDisagreementsRequest request;
  request.set_run_id(run_.id());
  const auto disputed = reviewer_.Call(reviewer_.review, &Review::ListDisagreements, request);
  ASSERT_TRUE(disputed.ok() && disputed->questions_size() == 1) << disputed.status();
  EXPECT_NEAR(disputed->questions(0).disagreement(), std::log(2.0) / std::log(3.0) / 3, 1e-9);
  EXPECT_EQ(disputed->questions(0).clip_ids_size(), 3);
  EXPECT_EQ(disputed->questions(0).answers(1).answer().ranking().groups(0).positions(0), 0);
  const auto listed = List("labeler: 'berta'");
  ASSERT_EQ(listed->labels_size(), 1);
  EXPECT_THAT(
      listed->labels(0).clip_ids(),
      ElementsAre(taken.clips[2].clip_id(), taken.clips[1].clip_id(), taken.clips[0].clip_id()));
  EXPECT_EQ(listed->labels(0).answer().ranking().groups(0).positions(0), 2);
  for (const char* bad :
       {"ranking { groups { positions: 0 } groups { positions: 1 } }",
        "ranking { groups { positions: 0 positions: 1 } groups { positions: 1 positions: 2 } }",
        "ranking { groups { positions: 0 positions: 1 positions: 3 } }", "choice: LEFT"}) {
    items = clips;
    items.push_back(ranking("carla", false, bad));
    EXPECT_EQ(Code(Import(items)), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST_F(ExchangeTest, ABadImportChangesNothing) {
  Start(2);
  Answer("anna", 2, Honest);
  WatchUntilLabels(2);
  const Taken taken = TakeOut(run_.id());
  run_ = broker_.CreateRun(kWithPeople, false);
  const std::string counts = Counts();
  const std::vector<v1::ImportLabelsRequest> good = Items(run_.id(), taken);
  const auto refused =
      [&](absl::StatusCode code, const std::string& says,
          const std::function<void(std::vector<v1::ImportLabelsRequest>&)>& spoil) {
        std::vector<v1::ImportLabelsRequest> items = good;
        spoil(items);
        const auto result = Import(items);
        EXPECT_EQ(Code(result), code) << says << ": " << result.status();
        EXPECT_THAT(Message(result), HasSubstr(says));
        EXPECT_EQ(Counts(), counts) << says;
      };
  const auto invalid = absl::StatusCode::kInvalidArgument;
  refused(invalid, "clips[3].observations[2]", [](auto& items) {
    items[3].mutable_clip()->mutable_clip()->set_observations(
        2, std::numeric_limits<float>::quiet_NaN());
  });
  refused(invalid, "steps",
          [](auto& items) { items[0].mutable_clip()->mutable_clip()->set_steps(4); });
  refused(invalid, "true_rewards", [](auto& items) {
    for (int i = 0; i < 3; ++i) items[0].mutable_clip()->mutable_clip()->add_true_rewards(1);
  });
  refused(invalid, "source_key",
          [](auto& items) { items.back().mutable_label()->set_source_key("short"); });
  refused(invalid, "came before", [](auto& items) {
    items.back().mutable_label()->set_source_key(items[4].label().source_key());
  });
  refused(invalid, "answer", [](auto& items) { items.back().mutable_label()->clear_answer(); });
  refused(invalid, "labeler",
          [](auto& items) { items.back().mutable_label()->set_labeler("\x1b[31m"); });
  refused(invalid, "all clips come first",
          [](auto& items) { std::swap(items.front(), items.back()); });
  refused(invalid, "one call is for one run", [](auto& items) { items.back().set_run_id(12); });
  refused(invalid, "is named by no label", [](auto& items) { items.pop_back(); });
  refused(invalid, "names clips that are the same", [](auto& items) {
    const std::string other = items.back().label().clip_ids(0);
    items.back().mutable_label()->set_clip_ids(0, items.back().label().clip_ids(1));
    items.erase(std::find_if(items.begin(), items.end(),
                             [&](auto& item) { return item.clip().clip_id() == other; }));
  });
  refused(absl::StatusCode::kNotFound, "names the clip",
          [](auto& items) { items.erase(items.begin() + 1); });
  refused(absl::StatusCode::kFailedPrecondition, "'operator' is the name of a operator",
          [](auto& items) { items.back().mutable_label()->set_labeler("operator"); });
  refused(absl::StatusCode::kNotFound, "run 99", [](auto& items) {
    for (auto& item : items) item.set_run_id(99);
  });
  refused(absl::StatusCode::kNotFound, "run 0", [](auto& items) { items.clear(); });
  EXPECT_TRUE(Import(good).ok());
}

TEST_F(ExchangeTest, ALockstepRunTakesNoLabelsWhileItRuns) {
  Start(1);
  Answer("anna", 1, Honest);
  WatchUntilLabels(1);
  const Taken taken = TakeOut(run_.id());
  Start(1, 1, "lockstep: true");
  EXPECT_EQ(Code(Import(Items(run_.id(), taken))), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ExchangeTest, AForkBeginsWithPolicyAndLabelsOfItsRun) {
  Start(4, /*overlap=*/2, kWithPeople, /*has_true_reward=*/true);
  Answer("anna", 4, Honest);
  Answer("berta", 2, Inverted);
  // one is taken back: it does not go along
  const Peer& carla = broker_.As(Role::kLabeler, "carla");
  const auto leased = carla.Call(carla.labeling, &Labeling::Lease, v1::LeaseRequest());
  ASSERT_TRUE(leased.ok() && leased->questions_size() == 1);
  v1::SubmitRequest submit = AnswerTo(leased->questions(0).lease_id(), v1::TIE);
  ASSERT_TRUE(carla.Call(carla.labeling, &Labeling::Submit, submit).ok());
  v1::UndoRequest undo;
  undo.set_lease_id(submit.lease_id());
  undo.set_idempotency_key(NewId());
  ASSERT_TRUE(carla.Call(carla.labeling, &Labeling::Undo, undo).ok());
  WatchUntil(
      [](const v1::Dashboard& d) { return d.run().labels() == 6 && d.labels_last_hour() == 6; });
  const int64_t old = run_.id();
  v1::AddGoldRequest gold;
  gold.set_run_id(old);
  gold.add_clip_ids(clips_[8]);
  gold.add_clip_ids(clips_[9]);
  gold.set_answer(v1::RIGHT);
  gold.set_use(v1::CHECK);
  ASSERT_TRUE(reviewer_.Call(reviewer_.review, &Review::AddGold, gold).ok());

  v1::SnapshotInfo info;
  info.set_run_id(old);
  info.set_kind(v1::POLICY);
  info.set_iteration(1);
  const Peer& learner = broker_.As(Role::kLearner);
  const auto policy =
      client::PublishSnapshot(learner.client, learner_claim_.epoch(), info, "a policy", nullptr);
  ASSERT_TRUE(policy.ok()) << policy.status();
  v1::ForkRunRequest fork;
  fork.set_request_id(NewId());
  fork.set_run_id(old);
  fork.set_version(policy->version());
  const auto forked = operator_.Call(operator_.runs, &Runs::Fork, fork);
  ASSERT_TRUE(forked.ok()) << forked.status();
  EXPECT_EQ(forked->forked_from_run(), old);
  EXPECT_EQ(forked->forked_from_version(), policy->version());
  EXPECT_EQ(forked->state(), v1::QUEUED);
  EXPECT_EQ(forked->labels(), 6);
  EXPECT_EQ(forked->questions(), 4);
  EXPECT_EQ(forked->spec().SerializeAsString(), run_.spec().SerializeAsString());
  const std::string counts = Counts();
  EXPECT_EQ(operator_.Call(operator_.runs, &Runs::Fork, fork)->id(), forked->id());
  EXPECT_EQ(Counts(), counts);
  EXPECT_EQ(Sql(absl::StrCat("SELECT kept FROM snapshots WHERE run_id = ", old)), "t");

  const std::vector<v1::LabelEntry> feed = Feed(forked->id(), 6), source = Feed(old, 6);
  ASSERT_TRUE(feed.size() == 6 && source.size() == 6);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(feed[i].position(), i + 1);
    EXPECT_EQ(feed[i].round(), -1);
    EXPECT_EQ(feed[i].ordinal(), source[i].ordinal());
    EXPECT_THAT(feed[i].clip_ids(), ElementsAre(source[i].clip_ids(0), source[i].clip_ids(1)));
    EXPECT_EQ(feed[i].answer().choice(), source[i].answer().choice());
    EXPECT_EQ(feed[i].labeler(), source[i].labeler());
  }
  const Taken there = TakeOut(old), here = TakeOut(forked->id());
  ASSERT_EQ(here.labels.size(), 6);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(here.labels[i].labeler(), there.labels[i].labeler());
    EXPECT_EQ(here.labels[i].turned(), there.labels[i].turned());
    EXPECT_EQ(here.labels[i].answered_ms(), there.labels[i].answered_ms());
    EXPECT_EQ(here.labels[i].timing().decision_ms(), 3000);
    EXPECT_EQ(here.labels[i].selector(), there.labels[i].selector());
  }
  v1::ListGoldRequest list;
  list.set_run_id(forked->id());
  EXPECT_EQ(reviewer_.Call(reviewer_.review, &Review::ListGold, list)->pairs_size(), 1);
  EXPECT_EQ(BrokenSlots(broker_), "0");

  // the copied questions are nobody's to answer, and the trainer's rounds begin at 0
  run_ = *forked;
  EXPECT_EQ(Sql(absl::StrCat("SELECT count(*) FROM questions WHERE open_slots > 0 AND run_id = ",
                             forked->id())),
            "0");
  (void)broker_.Claim(Role::kLearner);
  trainer_claim_ = broker_.Claim(Role::kTrainer);
  ASSERT_EQ(trainer_claim_.run().id(), forked->id());
  clips_ = broker_.Upload(run_.id(), 0, 2, true);
  const auto opened = broker_.Open(run_.id(), trainer_claim_.epoch(), 0, clips_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE(opened->opened());
  ASSERT_EQ(opened->questions_size(), 1);
  EXPECT_EQ(opened->questions(0).ordinal(), 4);
}

TEST_F(ExchangeTest, ForkRefusesWhatIsNotThere) {
  Start(1);
  v1::ForkRunRequest fork;
  fork.set_request_id(NewId());
  fork.set_run_id(run_.id());
  fork.set_version(3);
  const auto version = operator_.Call(operator_.runs, &Runs::Fork, fork);
  EXPECT_EQ(Code(version), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(version), HasSubstr("version 3"));
  fork.set_run_id(99);
  EXPECT_EQ(Code(operator_.Call(operator_.runs, &Runs::Fork, fork)), absl::StatusCode::kNotFound);
  fork.set_version(0);
  EXPECT_EQ(Code(operator_.Call(operator_.runs, &Runs::Fork, fork)),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Sql("SELECT count(*) FROM runs"), "1");
}

TEST_F(ExchangeTest, ARunMayBeginWithTheLabelsOfAnother) {
  Start(3);
  Answer("anna", 3, Honest);
  WatchUntilLabels(3);
  ASSERT_TRUE(client::PutBundle(operator_.client, "another bundle").ok());
  v1::CreateRunRequest create;
  create.set_request_id(NewId());
  *create.mutable_spec() = Parse<v1::RunSpec>(kWithPeople);
  *create.mutable_task() = TestTask(base::Sha256Hex("another bundle"), false);
  create.set_labels_from_run(run_.id());
  const auto seeded = operator_.Call(operator_.runs, &Runs::Create, create);
  ASSERT_TRUE(seeded.ok()) << seeded.status();
  EXPECT_EQ(seeded->labels(), 3);
  EXPECT_EQ(seeded->forked_from_run(), 0);
  const std::string counts = Counts();
  EXPECT_EQ(operator_.Call(operator_.runs, &Runs::Create, create)->id(), seeded->id());
  EXPECT_EQ(Counts(), counts);
  EXPECT_EQ(Feed(seeded->id(), 3).size(), 3);

  create.set_request_id(NewId());
  create.set_labels_from_run(99);
  EXPECT_EQ(Code(operator_.Call(operator_.runs, &Runs::Create, create)),
            absl::StatusCode::kNotFound);
  create.set_labels_from_run(run_.id());
  create.mutable_task()->set_clip_steps(4);
  const auto shape = operator_.Call(operator_.runs, &Runs::Create, create);
  EXPECT_EQ(Code(shape), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(shape), HasSubstr("clip_steps is 3"));
  EXPECT_EQ(Counts(), counts);
}

class StatisticsTest : public ReviewTest {
 protected:
  v1::Labeler Find(int64_t run_id, const std::string& name) {
    v1::ListLabelersRequest request;
    request.set_run_id(run_id);
    const auto labelers =
        reviewer_.Call(reviewer_.people, &v1::PeopleService::Stub::ListLabelers, request);
    EXPECT_TRUE(labelers.ok()) << labelers.status();
    if (!labelers.ok()) return {};
    for (const v1::Labeler& labeler : labelers->labelers()) {
      if (labeler.name() == name) return labeler;
    }
    ADD_FAILURE() << "no labeler " << name;
    return {};
  }
};

TEST_F(StatisticsTest, ALabelerIsKnownByTheirAnswers) {
  Start(8, /*overlap=*/4);
  for (const char* name : {"anna", "berta", "carla"}) Answer(name, 8, Honest);
  Answer("doris", 7, Inverted);
  Answer("doris", 1, [](const v1::Question&) { return v1::CANNOT_TELL; });
  WatchUntil([](const v1::Dashboard& d) { return d.labels_last_hour() == 32; });
  const v1::Labeler anna = Find(run_.id(), "anna"), doris = Find(run_.id(), "doris");
  EXPECT_EQ(anna.labels(), 8);
  EXPECT_EQ(anna.median_seconds(), 3);
  EXPECT_EQ(anna.state(), v1::ACTIVE);
  EXPECT_EQ(anna.cannot_tell_share(), 0);
  EXPECT_GT(anna.last_answer_ms(), 0);
  EXPECT_GT(anna.number(), 0);
  EXPECT_FALSE(anna.has_gold_score());
  EXPECT_FALSE(anna.has_self_consistency());
  EXPECT_FALSE(anna.has_reliability());
  EXPECT_EQ(doris.cannot_tell_share(), 1.0 / 8);
  EXPECT_GT(anna.dawid_skene(), 0.6);
  EXPECT_LT(doris.dawid_skene(), 0.3);
  const std::string lefts =
      Sql("SELECT count(*) FROM labels l JOIN callers c ON c.id = l.caller_id "
          "WHERE c.name = 'anna' AND l.choice = 'LEFT'");
  EXPECT_NEAR(anna.left_share(), std::stoi(lefts) / 8.0, 1e-9);
  EXPECT_EQ(Find(0, "anna").labels(), 8);
  v1::ListLabelersRequest unknown;
  unknown.set_run_id(99);
  EXPECT_EQ(Code(reviewer_.Call(reviewer_.people, &v1::PeopleService::Stub::ListLabelers, unknown)),
            absl::StatusCode::kNotFound);
}

TEST_F(StatisticsTest, GoldAndRepeatsAreJudgedByTheClipsAndNotBySides) {
  Start(4);
  const auto labels = Answer("anna", 4, Honest);
  v1::AddGoldRequest gold;
  gold.set_run_id(run_.id());
  gold.add_clip_ids(clips_[9]);
  gold.add_clip_ids(clips_[8]);
  gold.set_answer(v1::LEFT);
  gold.set_use(v1::CHECK);
  const auto pair = reviewer_.Call(reviewer_.review, &Review::AddGold, gold);
  ASSERT_TRUE(pair.ok()) << pair.status();
  // what a labeler was asked besides, as the broker stores it: gold with its
  // clips the other way round, and repeats on either side
  const auto ask = [&](const std::string& purpose, const std::string& first,
                       const std::string& second, bool turned, const std::string& choice,
                       const std::string& columns) {
    const std::string id = NewId();
    const std::string question =
        Sql(absl::StrCat("INSERT INTO questions (run_id, purpose, overlap, open_slots, made_for, "
                         "gold_id, repeat_of) SELECT ",
                         run_.id(), ", '", purpose, "', 1, 0, id, ", columns,
                         " FROM callers WHERE name = 'anna' RETURNING id"));
    for (const auto& [position, clip] : {std::pair(0, first), std::pair(1, second)}) {
      Sql(absl::StrCat("INSERT INTO question_clips SELECT ", question, ", ", position,
                       ", id FROM clips WHERE run_id = ", run_.id(), " AND sha256 = decode('", clip,
                       "', 'hex')"));
    }
    Sql(
        absl::StrCat("INSERT INTO leases (id, question_id, caller_id, state, turned, lease_ms, "
                     "expires_at) SELECT '",
                     id, "', ", question, ", id, 'ANSWERED', ", turned ? "true" : "false",
                     ", 1, now() FROM callers WHERE name = 'anna'"));
    Sql(
        absl::StrCat("INSERT INTO labels (run_id, question_id, lease_id, caller_id, "
                     "idempotency_key, body_sha256, retraction, "
                     "choice, surplus, counts) SELECT ",
                     run_.id(), ", ", question, ", '", id, "', id, '", id, "', '', false, '",
                     choice, "', false, false FROM callers WHERE name = 'anna'"));
  };
  const std::string is_gold = absl::StrCat(pair->gold_id(), ", NULL::bigint");
  ask("GOLD", clips_[8], clips_[9], false, "RIGHT", is_gold);  // right
  ask("GOLD", clips_[8], clips_[9], true, "LEFT", is_gold);    // right
  ask("GOLD", clips_[9], clips_[8], false, "RIGHT", is_gold);  // wrong
  ask("GOLD", clips_[9], clips_[8], true, "TIE", is_gold);     // wrong
  const std::string first =
      Sql(absl::StrCat("SELECT question_id FROM labels WHERE id = ", labels[0]));
  const std::string repeats = absl::StrCat("NULL::bigint, ", first);
  ask("REPEAT", clips_[0], clips_[1], true, "LEFT", repeats);  // the same: clip 1
  ask("REPEAT", clips_[1], clips_[0], true, "LEFT", repeats);  // another
  const v1::Labeler anna = Find(run_.id(), "anna");
  EXPECT_EQ(anna.gold_answers(), 4);
  EXPECT_EQ(anna.gold_score(), 0.5);
  EXPECT_EQ(anna.repeats(), 2);
  EXPECT_EQ(anna.self_consistency(), 0.5);
  v1::ListGoldRequest list;
  list.set_run_id(run_.id());
  const auto listed = reviewer_.Call(reviewer_.review, &Review::ListGold, list);
  EXPECT_EQ(listed->pairs(0).asked(), 4);
  EXPECT_EQ(listed->pairs(0).answered_right(), 2);
  // a pair that was asked keeps its answer
  gold.set_answer(v1::TIE);
  EXPECT_EQ(Code(reviewer_.Call(reviewer_.review, &Review::AddGold, gold)),
            absl::StatusCode::kAlreadyExists);
  const auto exported = List("purpose: GOLD");
  ASSERT_EQ(exported->labels_size(), 4);
  for (const v1::ExportedLabel& label : exported->labels()) {
    EXPECT_EQ(label.expected().choice(), label.clip_ids(0) == clips_[9] ? v1::LEFT : v1::RIGHT);
  }
}

TEST_F(StatisticsTest, AStatementCountsWhatWasWorkedInItsSpanAndNothingThatWasCopied) {
  Start(3);
  Answer("anna", 3, Honest);
  WatchUntilLabels(3);
  Sql(absl::StrCat("INSERT INTO labeler_time (caller_id, run_id) SELECT id, ", run_.id(),
                   " FROM callers WHERE name = 'anna' ON CONFLICT DO NOTHING"));
  Sql("UPDATE labeler_time SET active_ms = 90000, waiting_ms = 30000");
  Sql("UPDATE labeler_time SET active_ms = active_ms + 30000");
  v1::CreateRunRequest create;
  create.set_request_id(NewId());
  *create.mutable_spec() = Parse<v1::RunSpec>(kWithPeople);
  *create.mutable_task() = run_.task();
  create.set_labels_from_run(run_.id());
  ASSERT_TRUE(operator_.Call(operator_.runs, &Runs::Create, create).ok());

  v1::StatementRequest request;
  const auto all = operator_.Call(operator_.people, &v1::PeopleService::Stub::Statement, request);
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->rows_size(), 1);
  EXPECT_EQ(all->rows(0).name(), "anna");
  EXPECT_EQ(all->rows(0).labels(), 3);
  EXPECT_NEAR(all->rows(0).active_minutes(), 2, 1e-9);
  EXPECT_NEAR(all->rows(0).waiting_minutes(), 0.5, 1e-9);
  request.set_until_ms(1000);
  EXPECT_EQ(
      operator_.Call(operator_.people, &v1::PeopleService::Stub::Statement, request)->rows_size(),
      0);
  request.set_until_ms(0);
  request.set_since_ms(4'000'000'000'000);
  EXPECT_EQ(
      operator_.Call(operator_.people, &v1::PeopleService::Stub::Statement, request)->rows_size(),
      0);
  request.set_since_ms(-1);
  EXPECT_EQ(Code(operator_.Call(operator_.people, &v1::PeopleService::Stub::Statement, request)),
            absl::StatusCode::kInvalidArgument);
  request.set_since_ms(0);
  request.set_run_id(99);
  EXPECT_EQ(Code(operator_.Call(operator_.people, &v1::PeopleService::Stub::Statement, request)),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace backflip::testing
