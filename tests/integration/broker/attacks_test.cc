// What a labeler or a worker of ill will tries with a token that is theirs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/mutex.h"
#include "services/preference_broker/store/labeling/leases.h"
#include "tests/integration/broker/fixtures.h"
#include "tests/support/await.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;
using ::testing::HasSubstr;
using Labeling = v1::LabelingService::Stub;
using People = v1::PeopleService::Stub;
using Runs = v1::RunService::Stub;

class Attacks : public ::testing::Test {
 protected:
  void Open(int questions, const std::string& spec = "labels: 1000") {
    run_ = broker_.CreateRun(spec);
    learner_ = broker_.Claim(Role::kLearner);
    trainer_ = broker_.Claim(Role::kTrainer);
    const auto opened =
        broker_.Open(run_.id(), trainer_.epoch(), 0, broker_.Upload(run_.id(), 0, 2 * questions));
    ASSERT_TRUE(opened.ok()) << opened.status();
  }
  static absl::StatusOr<v1::LeaseResponse> Lease(const Peer& peer, int count = 1) {
    v1::LeaseRequest request;
    request.set_count(count);
    return peer.Call(peer.labeling, &Labeling::Lease, request);
  }
  static std::vector<std::string> LeaseIds(const Peer& peer, int count) {
    std::vector<std::string> ids;
    const auto leased = Lease(peer, count);
    EXPECT_TRUE(leased.ok()) << leased.status();
    if (!leased.ok()) return ids;
    for (const v1::Question& question : leased->questions()) ids.push_back(question.lease_id());
    EXPECT_EQ(ids.size(), static_cast<size_t>(count));
    return ids;
  }
  static absl::StatusOr<v1::HeartbeatResponse> Beat(const Peer& peer) {
    return peer.Call(peer.labeling, &Labeling::Heartbeat, v1::HeartbeatRequest());
  }
  static absl::StatusOr<v1::UndoResponse> Undo(const Peer& peer, const std::string& lease) {
    return peer.Call(peer.labeling, &Labeling::Undo, UndoOf(lease));
  }
  absl::StatusOr<v1::Labeler> SetState(v1::LabelerState state) {
    const Peer& peer = broker_.As(Role::kOperator);
    v1::SetLabelerStateRequest request;
    request.set_name("labeler");
    request.set_state(state);
    request.set_reason("answers at random");
    return peer.Call(peer.people, &People::SetLabelerState, request);
  }
  absl::StatusOr<v1::RetractLabelsResponse> Retract(const std::string& name = "labeler") {
    const Peer& peer = broker_.As(Role::kOperator);
    v1::RetractLabelsRequest request;
    request.set_request_id(NewId());
    request.set_name(name);
    return peer.Call(peer.people, &People::RetractLabels, request);
  }
  std::string Sql(const std::string& sql) { return Query(broker_.database(), sql); }
  // All live leases.
  void RunOutOfTime() {
    Sql("UPDATE leases SET expires_at = now() WHERE state = 'LIVE'");
    preference_broker::Connection connection(broker_.database(), "test", nullptr);
    while (Sql("SELECT count(*) FROM leases WHERE state = 'LIVE'") != "0")
      ASSERT_TRUE(preference_broker::ExpireLeases(connection).ok());
  }
  std::string Standing() { return Sql("SELECT count(*) FROM standing_labels"); }

  TestBroker broker_;
  v1::Run run_;
  v1::ClaimResponse learner_, trainer_;
};

TEST_F(Attacks, NoKeyOfALabelersKeepsAnOperatorFromTakingLabelsBack) {
  Open(2);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const auto leases = LeaseIds(labeler, 2);
  const auto first = Submit(labeler, AnswerTo(leases[0], v1::LEFT));
  ASSERT_TRUE(first.ok()) << first.status();
  // what an operator's retraction of the first label was once known by
  const std::string key = absl::StrCat("retracted-by-operator-", first->label_id());
  ASSERT_TRUE(Submit(labeler, AnswerTo(leases[1], v1::LEFT, key)).ok());
  const auto retracted = Retract();
  ASSERT_TRUE(retracted.ok()) << retracted.status();
  EXPECT_EQ(retracted->labels(), 2);
  EXPECT_EQ(Standing(), "0");
  EXPECT_EQ(Sql("SELECT count(*) FROM labels l JOIN callers c ON c.id = l.retracted_by "
                "WHERE c.role = 'operator'"),
            "2");
}

TEST_F(Attacks, NoKeyOfALabelersKeepsARunFromBeingForked) {
  Open(2);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const auto leases = LeaseIds(labeler, 2);
  const std::string key = NewId();
  const auto first = Submit(labeler, AnswerTo(leases[0], v1::LEFT, key));
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string guess =
      Sql(absl::StrCat("SELECT md5('", key, "/", first->label_id(), "/", run_.id() + 1, "')"));
  ASSERT_TRUE(Submit(labeler, AnswerTo(leases[1], v1::LEFT, guess)).ok());
  const Peer& peer = broker_.As(Role::kOperator);
  v1::CreateRunRequest request;
  request.set_request_id(NewId());
  *request.mutable_spec() = run_.spec();
  *request.mutable_task() = run_.task();
  request.set_labels_from_run(run_.id());
  const auto made = peer.Call(peer.runs, &Runs::Create, request);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->labels(), 2);
}

TEST_F(Attacks, APausedLabelerChangesNothingAndWhatWasTakenBackStaysBack) {
  Open(6);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const auto leases = LeaseIds(labeler, 6);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Submit(labeler, AnswerTo(leases[i], v1::LEFT)).ok());
  ASSERT_TRUE(SetState(v1::LABELER_PAUSED).ok());
  // what they held is open to others at once
  EXPECT_EQ(Sql("SELECT count(*) FROM leases WHERE state = 'LIVE'"), "0");
  EXPECT_EQ(Sql("SELECT sum(open_slots) FROM questions"), "2");
  ASSERT_EQ(Retract()->labels(), 4);
  for (const std::string& lease : leases) {
    const auto again = Submit(labeler, AnswerTo(lease, v1::RIGHT));
    EXPECT_EQ(Code(again), absl::StatusCode::kPermissionDenied);
    EXPECT_THAT(Message(again), HasSubstr("answers at random"));
    EXPECT_EQ(Code(Undo(labeler, lease)), absl::StatusCode::kPermissionDenied);
  }
  EXPECT_EQ(Standing(), "0");
  ASSERT_TRUE(SetState(v1::ACTIVE).ok());
  for (int i = 0; i < 4; ++i) {
    const auto again = Submit(labeler, AnswerTo(leases[i], v1::RIGHT));
    EXPECT_EQ(Code(again), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Message(again), HasSubstr("an operator took this answer back"));
  }
  // what the pause interrupted may be answered after it
  EXPECT_TRUE(Submit(labeler, AnswerTo(leases[4], v1::RIGHT)).ok());
  EXPECT_EQ(Standing(), "1");
  EXPECT_EQ(BrokenSlots(broker_), "0");
}

TEST_F(Attacks, WhatAnOperatorTookBackIsNotAskedOfTheSameLabelerAgain) {
  Open(6);
  int answered = 0;
  for (const Role role : {Role::kLabeler, Role::kTeacher}) {
    const Peer& peer = broker_.As(role);
    for (const std::string& lease : LeaseIds(peer, 6 - answered)) {
      if (answered == 3 && role == Role::kLabeler) continue;
      ASSERT_TRUE(Submit(peer, AnswerTo(lease, v1::LEFT)).ok());
      ++answered;
    }
    RunOutOfTime();
  }
  ASSERT_EQ(answered, 6);
  ASSERT_EQ(Retract("labeler")->labels(), 3);
  ASSERT_EQ(Retract("teacher")->labels(), 3);
  // each gets what was the other's
  for (const Role role : {Role::kLabeler, Role::kTeacher}) {
    const Peer& peer = broker_.As(role);
    for (int i = 0; i < 3; ++i) {
      const auto leased = LeaseIds(peer, 1);
      ASSERT_EQ(leased.size(), 1u);
      ASSERT_TRUE(Submit(peer, AnswerTo(leased[0], v1::RIGHT)).ok());
    }
    if (role == Role::kLabeler) {
      EXPECT_EQ(Lease(peer)->none(), v1::ALL_ANSWERED_BY_YOU);
    }
  }
  EXPECT_EQ(Standing(), "6");
  EXPECT_EQ(Sql("SELECT count(*) FROM leases a JOIN leases b USING (question_id, caller_id) "
                "WHERE a.closed AND NOT b.closed"),
            "0");
  EXPECT_EQ(BrokenSlots(broker_), "0");
}

TEST_F(Attacks, NoOlderLeaseBringsBackWhatAnOperatorTookBack) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  std::vector<std::string> leases;
  for (int i = 0; i < 3; ++i) {
    if (i > 0) RunOutOfTime();
    leases.push_back(LeaseIds(labeler, 1)[0]);
  }
  ASSERT_TRUE(Submit(labeler, AnswerTo(leases[2], v1::LEFT)).ok());
  ASSERT_EQ(Retract()->labels(), 1);
  for (const std::string& lease : leases) {
    const auto again = Submit(labeler, AnswerTo(lease, v1::LEFT));
    EXPECT_EQ(Code(again), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Message(again), HasSubstr("an operator took this answer back"));
    EXPECT_EQ(Code(Undo(labeler, lease)), absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_EQ(Standing(), "0");
  EXPECT_EQ(Lease(labeler)->questions_size(), 0);
  const Peer& other = broker_.As(Role::kLabeler, "other");
  const auto others = LeaseIds(other, 1);
  ASSERT_EQ(others.size(), 1u);
  EXPECT_TRUE(Submit(other, AnswerTo(others[0], v1::LEFT)).ok());
  EXPECT_EQ(BrokenSlots(broker_), "0");
}

TEST_F(Attacks, AQuestionIsAnsweredAFewTimesUnderWhicheverLeases) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  std::vector<std::string> leases;
  while (leases.size() < 100) {
    const auto leased = Lease(labeler);
    ASSERT_TRUE(leased.ok()) << leased.status();
    if (leased->questions_size() == 0) break;
    leases.push_back(leased->questions(0).lease_id());
    ASSERT_TRUE(Submit(labeler, AnswerTo(leases.back(), v1::LEFT)).ok());
    ASSERT_TRUE(Undo(labeler, leases.back()).ok());
    RunOutOfTime();
  }
  EXPECT_EQ(leases.size(), 6u);
  for (const std::string& lease : leases) {
    EXPECT_EQ(Code(Submit(labeler, AnswerTo(lease, v1::LEFT))),
              absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_EQ(Sql("SELECT count(*) FROM labels"), "12");
  EXPECT_EQ(LeaseIds(broker_.As(Role::kLabeler, "other"), 1).size(), 1u);
}

TEST_F(Attacks, WhoLetsQuestionsRunOutOfTimeLeavesThemToOthers) {
  Open(16);
  const Peer& one = broker_.As(Role::kLabeler, "one");
  const Peer& two = broker_.As(Role::kLabeler, "two");
  for (const Peer* peer : {&one, &two}) ASSERT_EQ(LeaseIds(*peer, 8).size(), 8u);
  const Peer& labeler = broker_.As(Role::kLabeler);
  EXPECT_EQ(Lease(labeler)->questions_size(), 0);
  std::vector<std::string> held;
  for (int round = 0; round < 3; ++round) {
    RunOutOfTime();
    for (const Peer* peer : {&one, &two}) {
      const auto leased = Lease(*peer, 8);
      ASSERT_EQ(leased->questions_size(), 2);
      if (peer == &one) {
        held.clear();
        for (const v1::Question& question : leased->questions())
          held.push_back(question.lease_id());
      }
      const auto more = Lease(*peer, 8);
      ASSERT_TRUE(more.ok()) << more.status();
      EXPECT_EQ(more->questions_size(), 0);
      EXPECT_THAT(more->message(), HasSubstr("First answer the questions that you have"));
    }
    if (round == 0) {
      EXPECT_EQ(Sql("SELECT count(*) FROM leases a JOIN leases b USING (question_id, caller_id) "
                    "WHERE a.state = 'LIVE' AND b.state = 'EXPIRED'"),
                "0")
          << "what they let expire comes last";
    }
    for (const std::string& lease : LeaseIds(labeler, 4))
      ASSERT_TRUE(Submit(labeler, AnswerTo(lease, v1::LEFT)).ok());
  }
  EXPECT_EQ(Standing(), "12");
  // what they hold is nothing that the trainer waits for: it asks others
  v1::GetRunRequest get;
  get.set_run_id(run_.id());
  EXPECT_EQ(broker_.As(Role::kOperator)
                .Call(broker_.As(Role::kOperator).runs, &Runs::Get, get)
                ->long_held(),
            4);
  // each answer is worth another lease, and one that is taken back is not
  Open(10);
  ASSERT_TRUE(Submit(one, AnswerTo(held[0], v1::LEFT)).ok());
  ASSERT_TRUE(Undo(one, held[0]).ok());
  EXPECT_EQ(Lease(one, 8)->questions_size(), 0);
  ASSERT_TRUE(Submit(one, AnswerTo(held[0], v1::LEFT)).ok());
  ASSERT_TRUE(Submit(one, AnswerTo(held[1], v1::RIGHT)).ok());
  EXPECT_EQ(Lease(one, 8)->questions_size(), 4);
}

TEST_F(Attacks, APauseIsNoTimeThatRanOut) {
  Open(8);
  const Peer& labeler = broker_.As(Role::kLabeler);
  LeaseIds(labeler, 8);
  ASSERT_TRUE(SetState(v1::LABELER_PAUSED).ok());
  ASSERT_TRUE(SetState(v1::ACTIVE).ok());
  EXPECT_EQ(LeaseIds(labeler, 8).size(), 8u);
}

TEST_F(Attacks, WhoLabelsAloneIsAskedAgainWhatRanOutOfTime) {
  Open(2);
  const Peer& labeler = broker_.As(Role::kLabeler);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(LeaseIds(labeler, 2).size(), 2u);
    RunOutOfTime();
  }
}

TEST_F(Attacks, AnswersOfOneMomentArePaidTheTimeThatPassed) {
  Open(4);
  Open(4);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const auto leases = LeaseIds(labeler, 8);
  ASSERT_EQ(leases.size(), 8u);
  const absl::Time start = absl::Now();
  Sql("UPDATE leases SET leased_at = now() - interval '45 seconds'");
  std::latch together(8);
  std::vector<std::thread> calls;
  for (const std::string& lease : leases) {
    calls.emplace_back([&, lease] {
      v1::SubmitRequest request = AnswerTo(lease, v1::LEFT);
      request.mutable_timing()->set_decision_ms(60'000);
      request.mutable_timing()->set_active_ms(60'000);
      together.arrive_and_wait();
      EXPECT_TRUE(Submit(labeler, request).ok());
    });
  }
  for (std::thread& call : calls) call.join();
  const int64_t paid = std::stoll(Sql("SELECT sum(active_ms) FROM labeler_time"));
  EXPECT_GE(paid, 44'000);
  EXPECT_LE(paid, 45'000 + absl::ToInt64Milliseconds(absl::Now() - start));
  EXPECT_EQ(Sql("SELECT sum(active_ms) FROM labeler_days"), absl::StrCat(paid));
}

TEST_F(Attacks, ALabelerHoldsAFewQuestionsHoweverManyCallsAskAtOnce) {
  Open(64);
  const Peer& labeler = broker_.As(Role::kLabeler);
  constexpr int kCalls = 12;
  std::latch together(kCalls);
  std::vector<std::thread> calls;
  for (int i = 0; i < kCalls; ++i) {
    calls.emplace_back([&] {
      together.arrive_and_wait();
      const auto leased = Lease(labeler, 16);
      EXPECT_TRUE(leased.ok() || absl::IsFailedPrecondition(leased.status())) << leased.status();
    });
  }
  for (std::thread& call : calls) call.join();
  EXPECT_EQ(Sql("SELECT count(*) FROM leases WHERE state = 'LIVE'"), "8");
  EXPECT_THAT(Message(Lease(labeler)), HasSubstr("at most 8 are allowed"));
}

TEST_F(Attacks, NoHeartbeatHoldsAQuestionForEver) {
  Open(2);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const auto leases = LeaseIds(labeler, 2);
  const auto ends = [&] {
    return Sql("SELECT max(expires_at) <= max(leased_at) + interval '10 minutes' FROM leases");
  };
  Sql("UPDATE leases SET leased_at = now() - interval '9 minutes 30 seconds', "
      "expires_at = now() + interval '20 seconds'");
  ASSERT_TRUE(Beat(labeler).ok());
  EXPECT_EQ(ends(), "t");
  // long before that its answer is not counted on
  const Peer& trainer = broker_.As(Role::kTrainer);
  v1::GetRunRequest get;
  get.set_run_id(run_.id());
  EXPECT_EQ(trainer.Call(trainer.runs, &Runs::Get, get)->long_held(), 2);
  Sql("UPDATE leases SET leased_at = now() - interval '10 minutes', expires_at = now()");
  ASSERT_TRUE(Beat(labeler).ok());
  preference_broker::Connection connection(broker_.database(), "test", nullptr);
  while (Sql("SELECT count(*) FROM leases WHERE state = 'LIVE'") != "0")
    ASSERT_TRUE(preference_broker::ExpireLeases(connection).ok());
  EXPECT_EQ(LeaseIds(broker_.As(Role::kLabeler, "other"), 2).size(), 2u);
  EXPECT_EQ(trainer.Call(trainer.runs, &Runs::Get, get)->long_held(), 0);
}

TEST_F(Attacks, AnAnswerIsChangedAFewTimesAndNoMore) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const std::string lease = LeaseIds(labeler, 1)[0];
  int taken = 0;
  v1::SubmitRequest request = AnswerTo(lease, v1::LEFT);
  absl::StatusOr<v1::SubmitResponse> label = Submit(labeler, request);
  for (; label.ok() && taken < 100; ++taken) {
    request = AnswerTo(lease, taken % 2 == 0 ? v1::RIGHT : v1::LEFT);
    request.set_supersedes(label->label_id());
    label = Submit(labeler, request);
  }
  EXPECT_EQ(taken, 12);
  EXPECT_EQ(Code(label), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Code(Undo(labeler, lease)), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Sql("SELECT count(*) FROM labels"), "12");
  EXPECT_EQ(Standing(), "1");
}

TEST_F(Attacks, NobodyHoldsManyQuestionsByTakingAnswersBack) {
  Open(40);
  const Peer& labeler = broker_.As(Role::kLabeler);
  std::vector<std::string> answered;
  while (answered.size() < 40) {
    for (const std::string& lease : LeaseIds(labeler, 8)) {
      // who answers one side alone is paused
      const v1::Choice side = answered.size() % 2 == 0 ? v1::LEFT : v1::RIGHT;
      ASSERT_TRUE(Submit(labeler, AnswerTo(lease, side)).ok());
      answered.push_back(lease);
    }
  }
  size_t taken_back = 0;
  while (taken_back < 40 && Undo(labeler, answered[taken_back]).ok()) ++taken_back;
  EXPECT_EQ(taken_back, 16);
  EXPECT_EQ(Sql("SELECT count(*) FROM leases WHERE state = 'LIVE'"), "16");
  EXPECT_EQ(Code(Undo(labeler, answered[20])), absl::StatusCode::kFailedPrecondition);
  // who answers them takes back others
  ASSERT_TRUE(Submit(labeler, AnswerTo(answered[0], v1::RIGHT)).ok());
  EXPECT_TRUE(Undo(labeler, answered[20]).ok());
}

TEST_F(Attacks, TheLabelsOfARunThatEndedStayAsTheyAre) {
  Open(2);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const auto leases = LeaseIds(labeler, 2);
  const v1::SubmitRequest first = AnswerTo(leases[0], v1::LEFT);
  ASSERT_TRUE(Submit(labeler, first).ok());
  const Peer& peer = broker_.As(Role::kOperator);
  v1::CancelRunRequest cancel;
  cancel.set_run_id(run_.id());
  ASSERT_TRUE(peer.Call(peer.runs, &Runs::Cancel, cancel).ok());
  // who had an answer in hand may still give it
  Sql("UPDATE runs SET finished_at = now() - interval '9 minutes'");
  EXPECT_TRUE(Submit(labeler, AnswerTo(leases[1], v1::LEFT)).ok());
  Sql("UPDATE runs SET finished_at = now() - interval '11 minutes'");
  EXPECT_EQ(Code(Undo(labeler, leases[0])), absl::StatusCode::kFailedPrecondition);
  v1::SubmitRequest change = AnswerTo(leases[0], v1::RIGHT);
  change.set_supersedes(1);
  EXPECT_THAT(Message(Submit(labeler, change)), HasSubstr("ended more than 10 minutes ago"));
  // what was acknowledged is acknowledged again
  EXPECT_TRUE(Submit(labeler, first).ok());
  EXPECT_EQ(Sql("SELECT count(*) FROM labels"), "2");
}

TEST_F(Attacks, ACopiedAnswerIsNobodysToChange) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const std::string lease = LeaseIds(labeler, 1)[0];
  ASSERT_TRUE(Submit(labeler, AnswerTo(lease, v1::LEFT)).ok());
  const Peer& peer = broker_.As(Role::kOperator);
  v1::CreateRunRequest request;
  request.set_request_id(NewId());
  *request.mutable_spec() = run_.spec();
  *request.mutable_task() = run_.task();
  request.set_labels_from_run(run_.id());
  const auto made = peer.Call(peer.runs, &Runs::Create, request);
  ASSERT_TRUE(made.ok()) << made.status();
  const std::string copy = Sql("SELECT id FROM leases WHERE copied");
  EXPECT_NE(copy, Sql(absl::StrCat("SELECT md5('", lease, "/", made->id(), "')")));
  EXPECT_EQ(Code(Undo(labeler, copy)), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(Undo(labeler, copy)), HasSubstr("copied here"));
}

TEST_F(Attacks, AWorkerWritesToRunsThatItServesAndWhatTheyHaveComeTo) {
  Open(1);
  const auto upload = [&](const Peer& worker, int64_t iteration) {
    v1::UploadClipsRequest request;
    request.set_run_id(run_.id());
    *request.add_clips() = TestClip(77, iteration, 0, 0);
    return worker.Call(worker.clips, &v1::ClipService::Stub::Upload, request).status();
  };
  const auto report = [&](const Peer& worker, int64_t version) {
    v1::ReportEvaluationRequest request;
    request.set_run_id(run_.id());
    request.add_episodes()->set_policy_version(version);
    request.mutable_episodes(0)->set_true_return(1);
    return worker.Call(worker.runs, &Runs::ReportEvaluation, request).status();
  };
  const Peer& stranger = broker_.As(Role::kWorker, "stranger");
  EXPECT_TRUE(absl::IsPermissionDenied(upload(stranger, 0)));
  EXPECT_TRUE(absl::IsPermissionDenied(report(stranger, 1)));
  // the broker gives it the run
  const Peer& learner = broker_.As(Role::kLearner);
  v1::RenewClaimRequest renew;
  renew.set_run_id(run_.id());
  renew.set_epoch(learner_.epoch());
  renew.set_wanted_steps(1000);
  ASSERT_TRUE(learner.Call(learner.claims, &v1::ClaimService::Stub::Renew, renew).ok());
  const auto assigned = stranger.Call(stranger.work, &v1::WorkService::Stub::AssignWork,
                                      Parse<v1::AssignWorkRequest>("worker: 'w' threads: 1"));
  ASSERT_TRUE(assigned.ok()) << assigned.status();
  ASSERT_EQ(assigned->run_id(), run_.id());
  EXPECT_TRUE(upload(stranger, 0).ok());
  EXPECT_TRUE(report(stranger, 1).ok());
  // batches and policies that cannot have come, which nothing would ever delete
  EXPECT_TRUE(absl::IsFailedPrecondition(upload(stranger, int64_t{1} << 30)));
  EXPECT_TRUE(absl::IsFailedPrecondition(report(stranger, 1000)));
  Sql("UPDATE runs SET state = 'FINISHED', finished_at = now() - interval '11 minutes'");
  EXPECT_TRUE(absl::IsFailedPrecondition(upload(stranger, 1)));
  EXPECT_TRUE(absl::IsFailedPrecondition(report(stranger, 2)));
}

TEST_F(Attacks, NoWorkerFailsARunThatItDoesNotServe) {
  Open(1);
  const Peer& stranger = broker_.As(Role::kWorker, "stranger");
  for (int i = 0; i < 20; ++i) {
    v1::AssignWorkRequest request;
    request.set_worker(absl::StrCat("w", i));
    request.set_threads(1);
    request.set_failed_run_id(run_.id());
    request.set_failure("it will not do");
    ASSERT_TRUE(stranger.Call(stranger.work, &v1::WorkService::Stub::AssignWork, request).ok());
  }
  EXPECT_EQ(Sql("SELECT state FROM runs"), "RUNNING");
  EXPECT_EQ(Sql("SELECT count(*) FROM worker_failures"), "0");
}

TEST_F(Attacks, WorkersThatDiedCountForNoRun) {
  Open(1);
  const int64_t first = run_.id();
  v1::ClaimResponse first_claim = learner_;
  Open(1);
  const Peer& learner = broker_.As(Role::kLearner);
  for (v1::ClaimResponse* claim : {&first_claim, &learner_}) {
    v1::RenewClaimRequest renew;
    renew.set_run_id(claim->run().id());
    renew.set_epoch(claim->epoch());
    renew.set_wanted_steps(1000);
    ASSERT_TRUE(learner.Call(learner.claims, &v1::ClaimService::Stub::Renew, renew).ok());
  }
  const Peer& worker = broker_.As(Role::kWorker);
  const auto assign = [&](const std::string& name) {
    v1::AssignWorkRequest request;
    request.set_worker(name);
    request.set_threads(2);
    const auto assigned = worker.Call(worker.work, &v1::WorkService::Stub::AssignWork, request);
    EXPECT_TRUE(assigned.ok()) << assigned.status();
    return assigned->run_id();
  };
  EXPECT_EQ(assign("w1"), first);
  EXPECT_EQ(assign("w2"), run_.id());
  // two that served the first run are killed; they asked for the last time half a minute ago
  EXPECT_EQ(assign("w3"), first);
  Sql("UPDATE assignments SET assigned_at = now() - interval '31 seconds' "
      "WHERE worker IN ('w1', 'w3')");
  EXPECT_EQ(assign("w4"), first);
  EXPECT_EQ(assign("w2"), run_.id());
}

// Blocks until a session of the database waits for a lock.
void WaitForALock(const std::string& database) {
  ASSERT_TRUE(Await([&] {
    return Query(database,
                 "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                 "AND wait_event_type = 'Lock'") != "0";
  })) << "nobody waits for a lock";
}

TEST_F(Attacks, HeavyReadsDoNotKeepAnswersWaiting) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const std::string lease = LeaseIds(labeler, 1)[0];
  const Peer& reviewer = broker_.As(Role::kReviewer);
  std::vector<std::thread> readers;
  std::atomic<int> answered{0};
  {
    pqxx::connection blocker(broker_.database());
    pqxx::work lock(blocker);
    lock.exec("LOCK TABLE gold_pairs IN ACCESS EXCLUSIVE MODE");
    for (int i = 0; i < 16; ++i) {
      readers.emplace_back([&] {
        v1::ListGoldRequest request;
        request.set_run_id(run_.id());
        answered +=
            reviewer.Call(reviewer.review, &v1::ReviewService::Stub::ListGold, request).ok();
      });
    }
    WaitForALock(broker_.database());
    EXPECT_TRUE(Submit(labeler, AnswerTo(lease, v1::LEFT)).ok());
    EXPECT_TRUE(Beat(labeler).ok());
    EXPECT_EQ(answered, 0);
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(answered, 16);
}

// Calls of one caller that are open until they are cancelled.
class OpenCalls {
 public:
  // Long polls for questions, of which there are none.
  void Poll(const Peer& peer, int count) {
    v1::LeaseRequest request;
    request.set_wait_ms(20'000);
    for (int i = 0; i < count; ++i) {
      Call& call = *calls_.emplace_back(std::make_unique<Call>());
      call.context = peer.client.UnaryContext(absl::Seconds(40));
      call.request = request;
      peer.labeling->async()->Lease(call.context.get(), &call.request, &call.response,
                                    [this](const grpc::Status& status) { Ended(status); });
    }
  }
  // Streams of snapshots, of which there are none.
  void Watch(const Peer& peer, int64_t run_id, int count) {
    v1::WatchSnapshotsRequest request;
    request.set_run_id(run_id);
    request.set_kind(v1::REWARD);
    for (int i = 0; i < count; ++i) {
      Call& call = *calls_.emplace_back(std::make_unique<Call>());
      call.context = peer.client.UnaryContext(absl::Seconds(40));
      call.stream = std::thread([this, &peer, &call, request] {
        const auto reader = peer.snapshots->Watch(call.context.get(), request);
        v1::SnapshotChunk chunk;
        while (reader->Read(&chunk)) {
        }
        Ended(reader->Finish());
      });
    }
  }
  // Blocks until so many were refused; what they were told.
  std::string AwaitRefused(int count) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    base::MutexLock lock(&mutex_);
    while (refused_ < count && absl::Now() < deadline)
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(100));
    EXPECT_EQ(refused_, count);
    return message_;
  }
  ~OpenCalls() {
    for (const auto& call : calls_) call->context->TryCancel();
    for (const auto& call : calls_) {
      if (call->stream.joinable()) call->stream.join();
    }
    base::MutexLock lock(&mutex_);
    while (ended_ < calls_.size()) changed_.WaitFor(&mutex_, std::chrono::milliseconds(100));
  }

 private:
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    v1::LeaseRequest request;
    v1::LeaseResponse response;
    std::thread stream;
  };
  void Ended(const grpc::Status& status) {
    base::MutexLock lock(&mutex_);
    ++ended_;
    if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) {
      ++refused_;
      message_ = status.error_message();
    }
    changed_.NotifyAll();
  }

  std::vector<std::unique_ptr<Call>> calls_;
  base::Mutex mutex_;
  base::CondVar changed_;
  size_t ended_ = 0;
  int refused_ = 0;
  std::string message_;
};

TEST_F(Attacks, ATokenHasAFewCallsOpenAtOnceAndNoMore) {
  run_ = broker_.CreateRun("labels: 1000");
  const Peer& labeler = broker_.As(Role::kLabeler);
  const Peer& reviewer = broker_.As(Role::kReviewer);
  {
    OpenCalls polls, streams;
    polls.Poll(labeler, 40);
    EXPECT_THAT(polls.AwaitRefused(8),
                HasSubstr("this token has 32 calls open already: come again"));
    EXPECT_EQ(Code(Beat(labeler)), absl::StatusCode::kResourceExhausted);
    EXPECT_TRUE(Beat(broker_.As(Role::kLabeler, "other")).ok());
    streams.Watch(reviewer, run_.id(), 40);
    EXPECT_THAT(streams.AwaitRefused(8), HasSubstr("32 calls open"));
  }
  // each gave its place back
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (!Beat(labeler).ok() && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_TRUE(Beat(labeler).ok());
}

TEST_F(Attacks, WhoGuessesByGrpcIsSlowedDownAndWhoIsKnownIsNot) {
  const Peer& labeler = broker_.As(Role::kLabeler);
  ASSERT_TRUE(Beat(labeler).ok());
  const auto refused_after = [&](const std::function<absl::Status(int)>& guess) {
    for (int i = 0; i < 2000; ++i) {
      const absl::Status status = guess(i);
      if (!absl::IsResourceExhausted(status)) continue;
      EXPECT_THAT(std::string(status.message()), HasSubstr("come again in"));
      return i;
    }
    return 2000;
  };
  const rpc::Client nobody(broker_.address(), "");
  const auto stub = v1::LabelingService::NewStub(nobody.channel());
  EXPECT_LT(refused_after([&](int i) {
              grpc::ClientContext context;
              context.AddMetadata("authorization", absl::StrCat("Bearer guess ", i));
              v1::HeartbeatResponse response;
              return rpc::FromGrpc(stub->Heartbeat(&context, {}, &response));
            }),
            2000);
  // nor is a secret of an invite guessed
  const Peer guesser(rpc::Client(broker_.address(), ""));
  EXPECT_LT(refused_after([&](int i) {
              v1::DescribeInviteRequest request;
              request.set_secret(absl::StrCat("guess ", i));
              return guesser.Call(guesser.people, &People::DescribeInvite, request).status();
            }),
            100);
  EXPECT_TRUE(Beat(labeler).ok());
}

TEST_F(Attacks, AnImportKeepsNeitherLearnerNorFeedWaiting) {
  Open(2, "labels: 1000 lockstep: false");
  const Peer& labeler = broker_.As(Role::kLabeler);
  const std::string lease = LeaseIds(labeler, 1)[0];
  const Peer& peer = broker_.As(Role::kOperator);
  absl::StatusOr<v1::ImportLabelsResponse> imported = v1::ImportLabelsResponse();
  const std::vector<std::string> clips = broker_.Upload(run_.id(), 0, 2);
  std::thread importer;
  {
    // the import comes to a name that somebody else is about to make
    pqxx::connection blocker(broker_.database());
    pqxx::work making(blocker);
    making.exec("INSERT INTO callers (name, role) VALUES ('imported', 'labeler')");
    importer = std::thread([&] {
      const auto context = peer.client.UnaryContext(absl::Seconds(40));
      const auto writer = peer.review->ImportLabels(context.get(), &*imported);
      v1::ImportLabelsRequest request;
      request.set_run_id(run_.id());
      request.mutable_label()->add_clip_ids(clips[0]);
      request.mutable_label()->add_clip_ids(clips[1]);
      request.mutable_label()->mutable_answer()->set_choice(v1::LEFT);
      request.mutable_label()->set_labeler("imported");
      request.mutable_label()->set_source_key("a label from elsewhere");
      writer->Write(request);
      writer->WritesDone();
      const absl::Status status = rpc::FromGrpc(writer->Finish());
      if (!status.ok()) imported = status;
    });
    WaitForALock(broker_.database());
    const Peer& learner = broker_.As(Role::kLearner);
    v1::CompleteBatchRequest complete;
    complete.set_run_id(run_.id());
    complete.set_epoch(learner_.epoch());
    const auto completed =
        learner.Call(learner.claims, &v1::ClaimService::Stub::CompleteBatch, complete);
    EXPECT_TRUE(completed.ok()) << completed.status();
    ASSERT_TRUE(Submit(labeler, AnswerTo(lease, v1::LEFT)).ok());
    EXPECT_TRUE(Await([&] { return Sql("SELECT labels FROM runs") == "1"; }));
  }
  importer.join();
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->labels(), 1);
  EXPECT_EQ(Sql("SELECT count(DISTINCT ordinal) FROM questions"), "3");
  EXPECT_EQ(Sql("SELECT questions FROM runs"), "3");
}

}  // namespace
}  // namespace backflip::testing
