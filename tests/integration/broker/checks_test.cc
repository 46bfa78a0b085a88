// What a labeler's own answers are checked by, rankings, and overlap that grows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/preference_broker/store/labeling/feed.h"
#include "services/preference_broker/store/labeling/leases.h"
#include "services/preference_broker/store/labeling/rules.h"
#include "services/preference_broker/store/labeling/sessions.h"
#include "tests/integration/broker/fixtures.h"
#include "tests/support/await.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;
using ::testing::HasSubstr;
using Labeling = v1::LabelingService::Stub;

class Checks : public ::testing::Test {
 protected:
  void Open(int questions, const std::string& spec, int overlap = 1) {
    run_ = broker_.CreateRun(absl::StrCat("labels: 1000 seed: 5 ", spec));
    (void)broker_.Claim(Role::kLearner);
    trainer_ = broker_.Claim(Role::kTrainer);
    clips_ = broker_.Upload(run_.id(), 0, 2 * questions);
    ASSERT_TRUE(broker_.Open(run_.id(), trainer_.epoch(), 0, clips_, overlap).ok());
  }
  void OpenRanking(int clips) {
    v1::OpenQuestionsRequest request;
    request.set_run_id(run_.id());
    request.set_epoch(trainer_.epoch());
    request.set_round(1);
    v1::NewQuestion* question = request.add_questions();
    question->set_purpose(v1::TRAIN);
    ranked_ = broker_.Upload(run_.id(), 1, clips);
    for (const std::string& id : ranked_) question->add_clip_ids(id);
    const Peer& peer = broker_.As(Role::kTrainer);
    const auto opened =
        peer.Call(peer.training, &v1::TrainingService::Stub::OpenQuestions, request);
    ASSERT_TRUE(opened.ok()) << opened.status();
  }
  // Gold: the clip of even index is better.
  void AddGold(const std::string& use, int from, int pairs) {
    for (int i = from; i < from + pairs; ++i) {
      Sql(absl::StrCat(
          "INSERT INTO gold_pairs (run_id, first_clip, second_clip, answer, explanation, use) "
          "SELECT ",
          run_.id(), ", a.id, b.id, 'LEFT', 'it flips', '", use,
          "' FROM clips a, clips b "
          "WHERE a.sha256 = decode('",
          clips_[2 * i], "', 'hex') AND b.sha256 = decode('", clips_[2 * i + 1], "', 'hex')"));
    }
  }
  absl::StatusOr<v1::LeaseResponse> Lease(const Peer& peer, int count = 1, int max_clips = 2) {
    v1::LeaseRequest request;
    request.set_count(count);
    request.set_max_clips(max_clips);
    return peer.Call(peer.labeling, &Labeling::Lease, request);
  }
  static v1::SubmitRequest Answer(const std::string& lease, v1::Choice choice,
                                  int decision_ms = 3000) {
    v1::SubmitRequest request = AnswerTo(lease, choice);
    request.mutable_timing()->set_decision_ms(decision_ms);
    return request;
  }
  // As a clip that is told from others by its poses.
  static float Value(const v1::ShownClip& clip) { return clip.poses().poses(0); }
  // The side with the smaller value: of a pair of neighbours, the even one.
  static v1::Choice Even(const v1::Question& question) {
    return Value(question.clips(0)) < Value(question.clips(1)) ? v1::LEFT : v1::RIGHT;
  }
  std::vector<preference_broker::FeedEntry> Feed() {
    preference_broker::Connection connection(broker_.database(), "test", nullptr);
    EXPECT_TRUE(preference_broker::NumberLabels(connection, run_.id()).ok());
    auto feed = preference_broker::ReadFeed(connection, run_.id(), 1, 1000);
    EXPECT_TRUE(feed.ok()) << feed.status();
    return feed.ok() ? *feed : std::vector<preference_broker::FeedEntry>();
  }
  std::string Sql(const std::string& sql) { return Query(broker_.database(), sql); }
  void EnforceRules(const std::string& name) {
    preference_broker::Connection connection(broker_.database(), "test", nullptr);
    preference_broker::RunCache runs;
    const absl::Status status = preference_broker::EnforceRules(
        connection, runs, std::stoll(Sql("SELECT id FROM callers WHERE name = '" + name + "'")),
        run_.id());
    EXPECT_TRUE(status.ok()) << status;
  }

  TestBroker broker_;
  v1::Run run_;
  v1::ClaimResponse trainer_;
  std::vector<std::string> clips_, ranked_;
};

TEST_F(Checks, ARankingNamesEachClipOnceAndReachesTheFeedInTheQuestionsOrder) {
  Open(0, "");
  OpenRanking(4);
  const Peer& peer = broker_.As(Role::kLabeler);
  EXPECT_EQ(Lease(peer)->none(), v1::NEEDS_MORE_CLIPS_ON_SCREEN);
  const auto leased = Lease(peer, 1, 4);
  ASSERT_EQ(leased->questions_size(), 1);
  const v1::Question& question = leased->questions(0);
  ASSERT_EQ(question.clips_size(), 4);
  const auto rank = [&](const std::string& text) {
    v1::SubmitRequest request = Answer(question.lease_id(), v1::LEFT);
    *request.mutable_answer() = Parse<v1::Answer>(text);
    return Submit(peer, request);
  };
  for (const char* bad : {"choice: LEFT", "ranking {}",
                          "ranking { groups { positions: [0, 1] } groups { positions: 2 } }",
                          "ranking { groups { positions: [0, 1, 2, 2] } }",
                          "ranking { groups { positions: [0, 1, 2, 3] } groups {} }",
                          "ranking { groups { positions: [0, 1, 2, 4] } }",
                          "ranking { groups { positions: [0, 1, 2, -1] } }"}) {
    EXPECT_EQ(Code(rank(bad)), absl::StatusCode::kInvalidArgument) << bad;
  }
  // best: the smallest value; the middle two are equal
  std::vector<int> order = {0, 1, 2, 3};
  std::sort(order.begin(), order.end(),
            [&](int a, int b) { return Value(question.clips(a)) < Value(question.clips(b)); });
  const std::string text =
      absl::StrCat("ranking { groups { positions: ", order[0], " } groups { positions: [", order[2],
                   ", ", order[1], "] } groups { positions: ", order[3], " } }");
  ASSERT_TRUE(rank(text).ok());
  const auto feed = Feed();
  ASSERT_EQ(feed.size(), 1u);
  ASSERT_EQ(feed[0].entry.clip_ids_size(), 4);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(feed[0].entry.clip_ids(i), ranked_[i]);
  const v1::Ranking& ranking = feed[0].entry.answer().ranking();
  ASSERT_EQ(ranking.groups_size(), 3);
  EXPECT_EQ(ranking.groups(0).positions(0), 0);
  EXPECT_EQ(ranking.groups(2).positions(0), 3);
  EXPECT_EQ(Sql("SELECT labels FROM runs"), "1");
}

TEST_F(Checks, GoldAndRepeatsComeAtTheirSharesAndLookLikeAllOthers) {
  Open(160, "quality { gold_share: 0.2 repeat_share: 0.2 max_one_sided: 0 max_fast_answers: 0 }");
  AddGold("CHECK", 0, 60);
  const Peer& peer = broker_.As(Role::kLabeler);
  for (int i = 0; i < 150; ++i) {
    const auto leased = Lease(peer);
    ASSERT_TRUE(leased.ok()) << leased.status();
    ASSERT_EQ(leased->questions_size(), 1);
    v1::Question question = leased->questions(0);
    const auto label = Submit(peer, Answer(question.lease_id(), Even(question)));
    ASSERT_TRUE(label.ok()) << label.status();
    EXPECT_FALSE(label->has_feedback());
    // nothing but the lease and the clips tells questions apart
    question.clear_lease_id();
    question.clear_clips();
    EXPECT_EQ(question.DebugString(),
              Parse<v1::Question>(
                  absl::StrCat("lease_ms: 60000 text: 'Which is better?' playback_fps: 40 "
                               "must_play_once: true run_id: ",
                               run_.id()))
                  .DebugString());
  }
  const int gold = std::stoi(Sql("SELECT count(*) FROM questions WHERE purpose = 'GOLD'"));
  const int repeats = std::stoi(Sql("SELECT count(*) FROM questions WHERE purpose = 'REPEAT'"));
  EXPECT_GT(gold, 15);
  EXPECT_LT(gold, 45);
  EXPECT_GT(repeats, 12);
  EXPECT_LT(repeats, 45);
  // each at most once, sides of repeats swapped, at least twenty answers later
  EXPECT_EQ(Sql("SELECT count(*) - count(DISTINCT gold_id) FROM questions WHERE purpose = 'GOLD'"),
            "0");
  EXPECT_EQ(Sql("SELECT count(*) FROM questions r JOIN leases a ON a.question_id = r.id "
                "JOIN leases b ON b.question_id = r.repeat_of WHERE a.turned = b.turned"),
            "0");
  EXPECT_EQ(
      Sql("SELECT count(*) FROM questions r JOIN labels a ON a.question_id = r.id JOIN labels b ON "
          "b.question_id = r.repeat_of WHERE (SELECT count(*) FROM labels l WHERE l.id > b.id AND "
          "l.id < a.id) < 20"),
      "0");
  int counted = 0;
  for (const preference_broker::FeedEntry& item : Feed()) {
    counted += item.entry.purpose() == v1::TRAIN;
    EXPECT_EQ(item.entry.has_expected(), item.entry.purpose() == v1::GOLD);
    // the even clip is the first of every pair
    EXPECT_EQ(item.entry.answer().choice(), v1::LEFT);
    EXPECT_EQ(item.entry.expected().choice(),
              item.entry.has_expected() ? v1::LEFT : v1::CHOICE_UNSPECIFIED);
    EXPECT_EQ(item.entry.round(), item.entry.purpose() == v1::TRAIN ? 0 : -1);
  }
  EXPECT_EQ(Sql("SELECT labels FROM runs"), absl::StrCat(counted));
  EXPECT_EQ(counted + gold + repeats, 150);
  // teachers are asked nothing but what the run is to learn
  EXPECT_EQ(Sql("SELECT count(*) FROM questions WHERE made_for IS NULL AND purpose <> 'TRAIN'"),
            "0");
}

TEST_F(Checks, ANewLabelerQualifiesFirstWithFeedback) {
  Open(4, "quality { qualification: 3 }");
  AddGold("QUALIFY", 0, 2);
  AddGold("SHOW", 2, 1);
  const Peer& peer = broker_.As(Role::kLabeler);
  const auto session = peer.Call(peer.labeling, &Labeling::GetSession, v1::GetSessionRequest());
  EXPECT_TRUE(session->guide_unread());
  EXPECT_EQ(session->qualification_left(), 2);  // no more than there are
  const auto guide = peer.Call(peer.labeling, &Labeling::GetGuide, v1::GetGuideRequest());
  ASSERT_TRUE(guide.ok()) << guide.status();
  ASSERT_EQ(guide->examples_size(), 1);
  EXPECT_EQ(guide->examples(0).answer().choice(), v1::LEFT);
  EXPECT_EQ(guide->examples(0).clips_size(), 2);
  EXPECT_FALSE(
      peer.Call(peer.labeling, &Labeling::GetSession, v1::GetSessionRequest())->guide_unread());
  const auto leased = Lease(peer, 4);
  ASSERT_EQ(leased->questions_size(), 2);
  EXPECT_EQ(Lease(peer)->questions_size(), 0);
  for (int i = 0; i < 2; ++i) {
    const v1::Question& question = leased->questions(i);
    EXPECT_TRUE(question.practice());
    const v1::Choice right = Even(question), wrong = right == v1::LEFT ? v1::RIGHT : v1::LEFT;
    const auto label = Submit(peer, Answer(question.lease_id(), i == 0 ? right : wrong));
    ASSERT_TRUE(label.ok()) << label.status();
    EXPECT_EQ(label->feedback().correct(), i == 0);
    EXPECT_EQ(label->feedback().expected().choice(), right);
    EXPECT_EQ(label->feedback().explanation(), "it flips");
  }
  EXPECT_FALSE(Lease(peer)->questions(0).practice());
  EXPECT_EQ(Lease(broker_.As(Role::kTeacher))->questions_size(), 1);
  EXPECT_EQ(Sql("SELECT labels FROM runs"), "0");
}

TEST_F(Checks, WhoMissesThePassMarkTriesAgainAndIsThenPaused) {
  Open(6, "quality { qualification: 2 qualification_pass_mark: 0.6 }");
  AddGold("QUALIFY", 0, 3);
  const Peer& peer = broker_.As(Role::kLabeler);
  // the pairs of a try, the first `right` of them answered as known
  const auto attempt = [&](int right) {
    const auto leased = Lease(peer, 4);
    std::set<float> shown;
    EXPECT_EQ(leased->questions_size(), 2);
    for (const v1::Question& question : leased->questions()) {
      EXPECT_TRUE(question.practice());
      const v1::Choice known = Even(question), wrong = known == v1::LEFT ? v1::RIGHT : v1::LEFT;
      const auto label = Submit(peer, Answer(question.lease_id(), right-- > 0 ? known : wrong));
      EXPECT_TRUE(label.ok()) << label.status();
      shown.insert(std::min(Value(question.clips(0)), Value(question.clips(1))));
    }
    return shown;
  };
  const std::set<float> first = attempt(1), second = attempt(1);
  EXPECT_EQ(std::set<float>(second).size(), 2u);
  EXPECT_NE(first, second) << "a pair that was not asked yet comes first";
  const auto failed = Lease(peer);
  EXPECT_EQ(failed->none(), v1::YOU_ARE_PAUSED);
  EXPECT_EQ(failed->message(),
            "You answered 1 of 2 practice pairs as expected, and 2 are needed. That was the last "
            "try: write to who invited you.");
  EXPECT_EQ(Lease(peer)->none(), v1::YOU_ARE_PAUSED);
  EXPECT_EQ(Sql("SELECT state FROM callers WHERE name = 'labeler'"), "PAUSED");
  EXPECT_EQ(Sql("SELECT count(*) FROM audit WHERE action = 'paused by the qualification'"), "1");
  // an operator who resumes them gives them their tries again
  const Peer& operator_peer = broker_.As(Role::kOperator);
  v1::SetLabelerStateRequest resume;
  resume.set_name("labeler");
  resume.set_state(v1::ACTIVE);
  ASSERT_TRUE(
      operator_peer.Call(operator_peer.people, &v1::PeopleService::Stub::SetLabelerState, resume)
          .ok());
  EXPECT_THAT(Lease(peer, 4)->message(), HasSubstr("Here is another try."));
}

TEST_F(Checks, WhoDoesNotQualifyHoldsNoQuestionOfAnyRunAnyMore) {
  Open(1, "");
  const v1::Run other = run_;
  Open(2, "quality { qualification: 1 qualification_pass_mark: 1 qualification_tries: 1 }");
  AddGold("QUALIFY", 0, 1);
  const Peer& peer = broker_.As(Role::kLabeler);
  const auto leased = Lease(peer, 2);
  ASSERT_EQ(leased->questions_size(), 2);
  ASSERT_EQ(leased->questions(0).run_id(), other.id());
  const v1::Question& practice = leased->questions(1);
  ASSERT_TRUE(practice.practice());
  ASSERT_TRUE(
      Submit(peer, Answer(practice.lease_id(), Even(practice) == v1::LEFT ? v1::RIGHT : v1::LEFT))
          .ok());
  const auto paused = Lease(peer, 4);
  EXPECT_EQ(paused->none(), v1::YOU_ARE_PAUSED);
  EXPECT_EQ(paused->questions_size(), 0);
  EXPECT_EQ(Sql("SELECT count(*) FROM leases WHERE state = 'LIVE'"), "0");
  EXPECT_EQ(Code(Submit(peer, Answer(leased->questions(0).lease_id(), v1::LEFT))),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Lease(broker_.As(Role::kTeacher), 4)->questions_size(), 3) << "its place came back";
}

TEST_F(Checks, WhoReachesThePassMarkGoesOnWhateverTheyDidBefore) {
  Open(4, "quality { qualification: 2 qualification_pass_mark: 1 }");
  AddGold("QUALIFY", 0, 2);
  const Peer& peer = broker_.As(Role::kLabeler);
  for (const int right : {1, 2}) {
    const auto leased = Lease(peer, 2);
    ASSERT_EQ(leased->questions_size(), 2);
    for (int i = 0; i < 2; ++i) {
      const v1::Question& question = leased->questions(i);
      ASSERT_TRUE(question.practice());
      const v1::Choice known = Even(question), wrong = known == v1::LEFT ? v1::RIGHT : v1::LEFT;
      ASSERT_TRUE(Submit(peer, Answer(question.lease_id(), i < right ? known : wrong)).ok());
    }
  }
  const auto leased = Lease(peer);
  ASSERT_EQ(leased->questions_size(), 1);
  EXPECT_FALSE(leased->questions(0).practice());
  EXPECT_EQ(leased->message(), "");
}

TEST_F(Checks, APracticePairThatRanOutOfTimeIsTheSameQuestionAgainAndIsAnsweredOnce) {
  Open(4, "quality { qualification: 2 qualification_pass_mark: 1 }");
  AddGold("QUALIFY", 0, 2);
  const Peer& peer = broker_.As(Role::kLabeler);
  preference_broker::Connection connection(broker_.database(), "test", nullptr);
  std::vector<v1::Question> leased;
  for (int i = 0; i < 4; ++i) {
    const auto response = Lease(peer);
    ASSERT_EQ(response->questions_size(), 1);
    leased.push_back(response->questions(0));
    ASSERT_TRUE(leased.back().practice());
    EXPECT_EQ(Even(leased.back()), Even(leased[0])) << "the sides stay";
    if (i == 3) break;
    Sql("UPDATE leases SET expires_at = now() WHERE state = 'LIVE'");
    while (Sql("SELECT count(*) FROM leases WHERE state = 'LIVE'") != "0")
      ASSERT_TRUE(preference_broker::ExpireLeases(connection).ok());
  }
  EXPECT_EQ(Sql("SELECT count(*) FROM questions WHERE purpose = 'QUALIFICATION'"), "1");
  const auto guess = Submit(peer, Answer(leased.back().lease_id(), v1::CANNOT_TELL));
  ASSERT_TRUE(guess.ok()) << guess.status();
  const v1::Choice known = guess->feedback().expected().choice();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Code(Submit(peer, Answer(leased[i].lease_id(), known))),
              absl::StatusCode::kFailedPrecondition);
  }
  // one that was made for the same pair by a version before
  Sql("WITH made AS (INSERT INTO questions (run_id, purpose, overlap, open_slots, gold_id, "
      "    made_for, clips) SELECT run_id, purpose, 1, 1, gold_id, made_for, 2 FROM questions "
      "    WHERE purpose = 'QUALIFICATION' RETURNING id, made_for) "
      "INSERT INTO leases (id, question_id, caller_id, state, holds_slot, turned, lease_ms, "
      "  expires_at) SELECT repeat('a', 32), id, made_for, 'EXPIRED', false, "
      "  (SELECT bool_or(turned) FROM leases), 60000, '-infinity' FROM made");
  const auto stale = Submit(peer, Answer(std::string(32, 'a'), known));
  ASSERT_TRUE(stale.ok()) << stale.status();
  EXPECT_TRUE(stale->feedback().correct());
  const auto session = peer.Call(peer.labeling, &Labeling::GetSession, v1::GetSessionRequest());
  EXPECT_EQ(session->qualification_left(), 1);
  const auto other = Lease(peer, 4);
  ASSERT_EQ(other->questions_size(), 1);
  EXPECT_TRUE(other->questions(0).practice());
  ASSERT_TRUE(Submit(peer, Answer(other->questions(0).lease_id(), Even(other->questions(0)))).ok());
  EXPECT_THAT(Lease(peer)->message(), HasSubstr("You answered 1 of 2 practice pairs"));
}

TEST_F(Checks, ACheckThatRanOutOfTimeOrWasTakenBackIsNotMadeAnew) {
  Open(60, "quality { gold_share: 0.3 repeat_share: 0.3 max_one_sided: 0 }");
  AddGold("CHECK", 0, 3);
  const Peer& peer = broker_.As(Role::kLabeler);
  preference_broker::Connection connection(broker_.database(), "test", nullptr);
  const auto answer = [&](int count, bool expire) {
    for (int i = 0; i < count; ++i) {
      const auto leased = Lease(peer);
      ASSERT_TRUE(leased.ok()) << leased.status();
      if (leased->questions_size() == 0) return;
      if (expire && i % 2 == 0) {
        Sql("UPDATE leases SET expires_at = now() WHERE state = 'LIVE'");
        while (Sql("SELECT count(*) FROM leases WHERE state = 'LIVE'") != "0")
          ASSERT_TRUE(preference_broker::ExpireLeases(connection).ok());
        continue;
      }
      const v1::Question& question = leased->questions(0);
      const auto label = Submit(peer, Answer(question.lease_id(), Even(question)));
      ASSERT_TRUE(label.ok()) << label.status();
    }
  };
  const auto doubled = [&] {
    return Sql(
        "SELECT count(*) - count(DISTINCT (gold_id, repeat_of)) FROM questions "
        "WHERE made_for IS NOT NULL");
  };
  answer(90, /*expire=*/true);
  EXPECT_NE(Sql("SELECT count(*) FROM questions WHERE purpose = 'GOLD'"), "0");
  EXPECT_NE(Sql("SELECT count(*) FROM questions WHERE purpose = 'REPEAT'"), "0");
  EXPECT_EQ(doubled(), "0");
  const Peer& operator_peer = broker_.As(Role::kOperator);
  v1::RetractLabelsRequest retract;
  retract.set_request_id(NewId());
  retract.set_name("labeler");
  ASSERT_TRUE(
      operator_peer.Call(operator_peer.people, &v1::PeopleService::Stub::RetractLabels, retract)
          .ok());
  answer(30, /*expire=*/false);
  EXPECT_EQ(doubled(), "0");
}

TEST_F(Checks, AnAnswerThatIsChangedAfterItsFeedbackDoesNotHelpToQualify) {
  Open(4, "quality { qualification: 1 qualification_pass_mark: 1 }");
  AddGold("QUALIFY", 0, 1);
  const Peer& peer = broker_.As(Role::kLabeler);
  const v1::Question question = Lease(peer)->questions(0);
  const v1::Choice known = Even(question), wrong = known == v1::LEFT ? v1::RIGHT : v1::LEFT;
  ASSERT_TRUE(Submit(peer, Answer(question.lease_id(), wrong)).ok());
  v1::UndoRequest undo;
  undo.set_lease_id(question.lease_id());
  undo.set_idempotency_key(NewId());
  ASSERT_TRUE(peer.Call(peer.labeling, &Labeling::Undo, undo).ok());
  ASSERT_TRUE(Submit(peer, Answer(question.lease_id(), known)).ok());
  const auto leased = Lease(peer);
  ASSERT_EQ(leased->questions_size(), 1);
  EXPECT_TRUE(leased->questions(0).practice());
  EXPECT_THAT(leased->message(), HasSubstr("You answered 0 of 1 practice pairs as expected"));
}

TEST_F(Checks, ACheckThatWasGivenBackIsNoQuestionThatWaitsForOthers) {
  Open(3, "quality { qualification: 1 }");
  AddGold("QUALIFY", 0, 1);
  const auto leased = Lease(broker_.As(Role::kLabeler));
  ASSERT_EQ(leased->questions_size(), 1);
  EXPECT_TRUE(leased->questions(0).practice());
  Sql("UPDATE leases SET expires_at = now() - interval '1 second'");
  preference_broker::Connection connection(broker_.database(), "test", nullptr);
  while (Sql("SELECT state FROM leases") == "LIVE")
    ASSERT_TRUE(preference_broker::ExpireLeases(connection).ok());
  EXPECT_EQ(Sql("SELECT open_slots FROM questions WHERE made_for IS NOT NULL"), "1");
  const Peer& reviewer = broker_.As(Role::kReviewer);
  v1::WatchDashboardRequest watch;
  watch.set_run_id(run_.id());
  const auto dashboard = reviewer.Call(reviewer.review, &v1::ReviewService::Stub::Watch, watch);
  ASSERT_TRUE(dashboard.ok()) << dashboard.status();
  EXPECT_EQ(dashboard->open_questions(), 3);
}

TEST_F(Checks, AQuestionThatPeopleDisagreeOnWantsMoreAnswersUpToTheCap) {
  Open(1, "queries { max_overlap: 3 }", 2);
  std::vector<v1::Choice> wanted = {v1::LEFT, v1::RIGHT, v1::LEFT};
  for (int i = 0; i < 3; ++i) {
    const Peer& peer = broker_.As(Role::kLabeler, absl::StrCat("labeler", i));
    const auto leased = Lease(peer);
    ASSERT_EQ(leased->questions_size(), 1) << i;
    const v1::Choice even = Even(leased->questions(0)),
                     odd = even == v1::LEFT ? v1::RIGHT : v1::LEFT;
    ASSERT_TRUE(
        Submit(peer, Answer(leased->questions(0).lease_id(), wanted[i] == v1::LEFT ? even : odd))
            .ok());
    EXPECT_EQ(Sql("SELECT overlap || ' ' || open_slots FROM questions"), i == 0   ? "2 1"
                                                                         : i == 1 ? "3 1"
                                                                                  : "3 0");
  }
  EXPECT_EQ(Lease(broker_.As(Role::kLabeler, "more"))->questions_size(), 0);
  EXPECT_EQ(Feed()[0].entry.overlap(), 3);
}

TEST_F(Checks, AQuestionThatPeopleAgreeOnDoesNotGrow) {
  Open(1, "queries { max_overlap: 5 }", 2);
  for (int i = 0; i < 2; ++i) {
    const Peer& peer = broker_.As(Role::kLabeler, absl::StrCat("labeler", i));
    const auto leased = Lease(peer);
    ASSERT_TRUE(
        Submit(peer, Answer(leased->questions(0).lease_id(), Even(leased->questions(0)))).ok());
  }
  EXPECT_EQ(Sql("SELECT overlap FROM questions"), "2");
}

TEST_F(Checks, ARuleWarnsThenPausesAndTellsBothSides) {
  Open(20, "quality { max_cannot_tells: 3 max_fast_answers: 0 }");
  const Peer& peer = broker_.As(Role::kLabeler);
  const auto cannot_tell = [&] {
    const auto leased = Lease(peer);
    ASSERT_EQ(leased->questions_size(), 1) << leased->DebugString();
    ASSERT_TRUE(Submit(peer, Answer(leased->questions(0).lease_id(), v1::CANNOT_TELL)).ok());
  };
  for (int i = 0; i < 3; ++i) cannot_tell();
  EnforceRules("labeler");
  const auto warned = Lease(peer);
  EXPECT_EQ(warned->questions_size(), 1);
  EXPECT_THAT(warned->message(), HasSubstr("3 answers in a row were cannot tell"));
  ASSERT_TRUE(Submit(peer, Answer(warned->questions(0).lease_id(), v1::CANNOT_TELL)).ok());
  for (int i = 0; i < 2; ++i) cannot_tell();
  EnforceRules("labeler");
  const auto paused = Lease(peer);
  EXPECT_EQ(paused->none(), v1::YOU_ARE_PAUSED);
  EXPECT_THAT(paused->message(), HasSubstr("You are paused"));
  EXPECT_EQ(Sql("SELECT string_agg(action, ', ' ORDER BY id) FROM audit WHERE action LIKE '%rule'"),
            "warned by a rule, paused by a rule");
}

TEST_F(Checks, FastAndOneSidedAnswersAreSeenWithoutBeingAskedFor) {
  // a clip takes 75 ms
  Open(20, "quality { max_fast_answers: 5 }");
  const Peer& peer = broker_.As(Role::kLabeler);
  for (int i = 0; i < 6; ++i) {
    const auto leased = Lease(peer);
    ASSERT_TRUE(
        Submit(peer, Answer(leased->questions(0).lease_id(), i % 2 == 0 ? v1::LEFT : v1::RIGHT, 10))
            .ok());
  }
  EXPECT_TRUE(
      Await([&] { return !Sql("SELECT reason FROM callers WHERE name = 'labeler'").empty(); }));
  EXPECT_THAT(Sql("SELECT reason FROM callers WHERE name = 'labeler'"),
              HasSubstr("faster than a clip"));
}

TEST_F(Checks, AnswersAreFastByTheDatabasesClockWhateverTheClientSays) {
  Open(20, "quality { max_fast_answers: 5 }");
  const Peer& peer = broker_.As(Role::kLabeler);
  for (int i = 0; i < 6; ++i) {
    const auto leased = Lease(peer);
    // in no time, however slow this machine is
    Sql("UPDATE leases SET leased_at = now() + interval '1 minute' WHERE state = 'LIVE'");
    ASSERT_TRUE(Submit(peer, Answer(leased->questions(0).lease_id(),
                                    i % 2 == 0 ? v1::LEFT : v1::RIGHT, 5000))
                    .ok());
  }
  EXPECT_TRUE(
      Await([&] { return !Sql("SELECT reason FROM callers WHERE name = 'labeler'").empty(); }));
  EXPECT_THAT(Sql("SELECT reason FROM callers WHERE name = 'labeler'"),
              HasSubstr("faster than a clip"));
}

TEST_F(Checks, AnswersThatCompareNothingAreWarnedOfInARowAndByTheirShare) {
  Open(20, "quality { max_cannot_tells: 3 max_one_sided: 0 }");
  const auto give = [&](const std::string& name, const std::vector<v1::Choice>& choices) {
    const Peer& peer = broker_.As(Role::kLabeler, name);
    for (const v1::Choice choice : choices) {
      const auto leased = Lease(peer);
      ASSERT_EQ(leased->questions_size(), 1);
      ASSERT_TRUE(Submit(peer, Answer(leased->questions(0).lease_id(), choice)).ok());
    }
  };
  const auto reason = [&](const std::string& name) {
    const std::string read = "SELECT reason FROM callers WHERE name = '" + name + "'";
    EXPECT_TRUE(Await([&] { return !Sql(read).empty(); })) << name;
    return Sql(read);
  };
  give("broken", {v1::BROKEN, v1::BROKEN, v1::BROKEN});
  EXPECT_THAT(reason("broken"), HasSubstr("3 answers in a row were cannot tell or broken"));
  give("mixed", {v1::BROKEN, v1::BROKEN, v1::LEFT, v1::CANNOT_TELL, v1::BROKEN, v1::RIGHT,
                 v1::BROKEN, v1::CANNOT_TELL});
  EXPECT_THAT(reason("mixed"), HasSubstr("6 of 8 answers were cannot tell or broken"));
  // every other clip is hard to tell
  give("honest", {v1::CANNOT_TELL, v1::LEFT, v1::CANNOT_TELL, v1::RIGHT, v1::BROKEN, v1::LEFT,
                  v1::CANNOT_TELL, v1::LEFT, v1::CANNOT_TELL});
  EnforceRules("honest");
  EXPECT_EQ(Sql("SELECT reason FROM callers WHERE name = 'honest'"), "");
}

TEST(Pace, QuestionsThatAreLeasedTogetherShareTheirTime) {
  constexpr double kClip = 1500;
  preference_broker::Pace pace;
  int in_a_row = 0;
  for (int batch = 0; batch < 3; ++batch) {
    const double leased = 1800.0 * batch;
    for (int i = 0; i < 8; ++i)
      in_a_row = pace.IsFast(leased, leased + 1700 + i, 1650, kClip) ? in_a_row + 1 : 0;
  }
  EXPECT_EQ(in_a_row, 23);
  // nor does one that was leased long before make time for the others
  EXPECT_TRUE(pace.IsFast(0, 5500, 1650, kClip));
}

TEST(Pace, OneQuestionAfterTheOtherIsNotFastHoweverTheyWereLeased) {
  constexpr double kClip = 1500;
  // the next two are ready on the page
  preference_broker::Pace page;
  for (int i = 0; i < 100; ++i)
    EXPECT_FALSE(page.IsFast(1600.0 * std::max(0, i - 2), 1600.0 * (i + 1), 1550, kClip)) << i;
  // eight that were answered without a connection, and sent at once a minute later
  preference_broker::Pace cut_off;
  for (int i = 0; i < 8; ++i) EXPECT_FALSE(cut_off.IsFast(0, 72'000 + i, 1550, kClip)) << i;
  // but those that the client itself says were fast
  EXPECT_TRUE(cut_off.IsFast(0, 72'010, 300, kClip));
  EXPECT_FALSE(cut_off.IsFast(72'000, 90'000, 0, kClip));
}

TEST_F(Checks, AnswersToQuestionsLeasedTogetherAreFastTogether) {
  Open(64, "quality { max_fast_answers: 8 }");
  // a clip takes 75 ms; so many leased at once, each answered `wait_ms` later
  const auto give = [&](const std::string& name, int first, int wait_ms) {
    broker_.Token(Role::kLabeler, name);
    Sql(absl::StrCat(
        "WITH given AS (SELECT q.id, q.ordinal, q.run_id, md5(q.id::text) AS lease, c.id AS caller,"
        "    now() + ((q.ordinal - ",
        first, ") / 8 + 1) * interval '1 ms' * ", wait_ms,
        " AS at FROM questions q, callers c WHERE c.name = '", name, "' AND q.ordinal >= ", first,
        "    AND q.ordinal < ", first + 16,
        "), "
        "  leased AS (INSERT INTO leases (id, question_id, caller_id, state, turned, lease_ms, "
        "    leased_at, expires_at) SELECT lease, id, caller, 'ANSWERED', false, 60000, "
        "    at - interval '1 ms' * ",
        wait_ms,
        ", at FROM given), "
        "  taken AS (UPDATE questions SET open_slots = 0 FROM given WHERE given.id = questions.id) "
        "INSERT INTO labels (run_id, question_id, lease_id, caller_id, idempotency_key, "
        "  body_sha256, retraction, choice, surplus, counts, decision_ms, answered_at) "
        "SELECT run_id, id, lease, caller, lease, '', false, "
        "  CASE WHEN ordinal % 2 = 0 THEN 'LEFT' ELSE 'RIGHT' END, false, true, 80, at "
        "FROM given ORDER BY ordinal"));
    EnforceRules(name);
    return Sql("SELECT reason FROM callers WHERE name = '" + name + "'");
  };
  EXPECT_THAT(give("batches", 0, 90), HasSubstr("8 answers in a row came faster than a clip"));
  EXPECT_EQ(give("cut off", 16, 700), "");
}

TEST_F(Checks, NoMoreIsAskedAfterTheEndOfAsking) {
  Open(2, "");
  const Peer& peer = broker_.As(Role::kLabeler);
  const auto held = Lease(peer);
  const Peer& operator_peer = broker_.As(Role::kOperator);
  v1::StopAskingRequest stop;
  stop.set_run_id(run_.id());
  for (int i = 0; i < 2; ++i) {
    const auto run =
        operator_peer.Call(operator_peer.runs, &v1::RunService::Stub::StopAsking, stop);
    ASSERT_TRUE(run.ok()) << run.status();
    EXPECT_TRUE(run->asking_stopped());
  }
  EXPECT_EQ(Lease(peer)->none(), v1::BUDGET_SPENT);
  const auto opened = broker_.Open(run_.id(), trainer_.epoch(), 1, clips_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE(opened->opened());
  EXPECT_EQ(opened->questions_size(), 0);
  // what was given out may be answered
  EXPECT_TRUE(Submit(peer, Answer(held->questions(0).lease_id(), v1::LEFT)).ok());
}

TEST_F(Checks, PaidTimeIsNoMoreThanHasPassed) {
  Open(3, "");
  const Peer& peer = broker_.As(Role::kLabeler);
  const absl::Time start = absl::Now();
  const auto leased = Lease(peer, 3);
  for (const v1::Question& question : leased->questions()) {
    v1::SubmitRequest request = Answer(question.lease_id(), v1::LEFT, 600'000);
    request.mutable_timing()->set_active_ms(600'000);
    ASSERT_TRUE(Submit(peer, request).ok());
  }
  const auto session = peer.Call(peer.labeling, &Labeling::GetSession, v1::GetSessionRequest());
  EXPECT_EQ(session->answers(), 3);
  EXPECT_EQ(session->answers_today(), 3);
  EXPECT_LE(session->active_ms(), absl::ToInt64Milliseconds(absl::Now() - start));
  // waiting for a question, with nothing to answer, is paid too
  v1::LeaseRequest wait;
  wait.set_wait_ms(400);
  EXPECT_EQ(peer.Call(peer.labeling, &Labeling::Lease, wait)->questions_size(), 0);
  const auto after = peer.Call(peer.labeling, &Labeling::GetSession, v1::GetSessionRequest());
  EXPECT_GE(after->waiting_ms(), 200);
  EXPECT_LE(after->waiting_ms() + after->active_ms(),
            absl::ToInt64Milliseconds(absl::Now() - start));
}

TEST_F(Checks, WaitingWithoutAnAnswerIsPaidForAQuarterOfAnHour) {
  constexpr int64_t kMinute = 60'000;
  Open(2, "");
  const int64_t first_run = run_.id();
  const Peer& peer = broker_.As(Role::kLabeler);
  preference_broker::Caller caller;
  caller.id = std::stoll(Sql("SELECT id FROM callers WHERE name = 'labeler'"));
  preference_broker::Connection connection(broker_.database(), "test", nullptr);
  // As if the labeler's client had asked again and again through a night.
  const auto wait = [&](int64_t run_id, int64_t minutes) {
    Sql("UPDATE labeler_time SET last_at = last_at - interval '1 hour'");
    const absl::Status status =
        preference_broker::CreditWaiting(connection, caller, run_id, minutes * kMinute);
    EXPECT_TRUE(status.ok()) << status;
    return std::stoll(Sql("SELECT sum(waiting_ms) FROM labeler_time")) / kMinute;
  };
  const auto answer = [&] {
    const auto leased = Lease(peer);
    ASSERT_TRUE(leased.ok()) << leased.status();
    ASSERT_EQ(leased->questions_size(), 1);
    ASSERT_TRUE(Submit(peer, Answer(leased->questions(0).lease_id(), v1::LEFT)).ok());
  };
  // before the first answer: from Start
  EXPECT_EQ(wait(first_run, 10), 10);
  EXPECT_EQ(wait(first_run, 10), 15);
  EXPECT_EQ(wait(first_run, 10), 15);
  // all runs together
  const v1::Run other = broker_.CreateRun("labels: 10");
  EXPECT_EQ(wait(other.id(), 10), 15);
  // each answer is the begin of another quarter
  answer();
  EXPECT_EQ(wait(other.id(), 10), 25);
  EXPECT_EQ(wait(first_run, 10), 30);
  EXPECT_EQ(wait(other.id(), 10), 30);
  answer();
  EXPECT_EQ(wait(first_run, 4), 34);
  EXPECT_EQ(wait(first_run, 4), 38);
  // and the days of a statement say the same
  EXPECT_EQ(Sql("SELECT sum(waiting_ms) FROM labeler_days"),
            Sql("SELECT sum(waiting_ms) FROM labeler_time"));
  EXPECT_EQ(wait(first_run, 30), 45);
  // a call that waits in truth is credited no more
  v1::LeaseRequest request;
  request.set_wait_ms(400);
  EXPECT_EQ(peer.Call(peer.labeling, &Labeling::Lease, request)->questions_size(), 0);
  EXPECT_EQ(Sql("SELECT sum(waiting_ms) FROM labeler_time"), absl::StrCat(45 * kMinute));
}

TEST_F(Checks, ManyCallsAtOnceCreditTheSameTimeOnce) {
  Open(1, "");
  const int64_t other = run_.id();
  Open(1, "");
  // who has waited before, and who has not
  for (const std::string name : {"known", "new"}) {
    broker_.Token(Role::kLabeler, name);
    preference_broker::Caller caller;
    caller.id = std::stoll(Sql("SELECT id FROM callers WHERE name = '" + name + "'"));
    if (name == "known") {
      Sql(absl::StrCat("INSERT INTO labeler_time (caller_id, run_id, last_at) VALUES (", caller.id,
                       ", ", run_.id(), ", now() - interval '25 seconds')"));
    }
    std::vector<std::thread> calls;
    for (int i = 0; i < 8; ++i) {
      calls.emplace_back([&, run_id = i % 2 == 0 ? run_.id() : other] {
        preference_broker::Connection connection(broker_.database(), "test", nullptr);
        EXPECT_TRUE(preference_broker::CreditWaiting(connection, caller, run_id, 25'000).ok());
      });
    }
    for (std::thread& call : calls) call.join();
    // with what passed while they ran
    EXPECT_LT(std::stoll(Sql(absl::StrCat(
                  "SELECT sum(waiting_ms) FROM labeler_time WHERE caller_id = ", caller.id))),
              2 * 25'000)
        << name;
  }
}

TEST_F(Checks, NobodyIsPaidForWaitingForARunThatHasEnded) {
  Open(1, "");
  broker_.Token(Role::kLabeler);
  preference_broker::Caller caller;
  caller.id = std::stoll(Sql("SELECT id FROM callers WHERE name = 'labeler'"));
  preference_broker::Connection connection(broker_.database(), "test", nullptr);
  for (const std::string state : {"FAILED", "CANCELLED", "FINISHED", "PAUSED"}) {
    Sql("UPDATE runs SET finished_at = now(), state = '" + state + "'");
    for (const int64_t run_id : {run_.id(), int64_t{0}})
      EXPECT_TRUE(preference_broker::CreditWaiting(connection, caller, run_id, 6'000).ok());
    EXPECT_EQ(Sql("SELECT coalesce(sum(waiting_ms), 0) > 0 FROM labeler_time"),
              state == "PAUSED" ? "t" : "f")
        << state;
  }
}

TEST_F(Checks, NotesAreKeptAsTextAndBounded) {
  Open(1, "");
  const Peer& peer = broker_.As(Role::kLabeler);
  const std::string lease = Lease(peer)->questions(0).lease_id();
  v1::SubmitRequest request = Answer(lease, v1::LEFT);
  request.set_note(std::string(501, 'x'));
  EXPECT_EQ(Code(Submit(peer, request)), absl::StatusCode::kInvalidArgument);
  request.set_note("bell\x07");
  EXPECT_EQ(Code(Submit(peer, request)), absl::StatusCode::kInvalidArgument);
  request.set_note("<script>alert(1)</script>'; DROP TABLE labels; --");
  ASSERT_TRUE(Submit(peer, request).ok());
  EXPECT_EQ(Sql("SELECT note FROM labels"), request.note());
}

}  // namespace
}  // namespace backflip::testing
