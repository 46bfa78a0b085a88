// Leases and labels under many labelers, deadlines and second thoughts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/hash.h"
#include "common/client/snapshot_client.h"
#include "services/preference_broker/store/labeling/feed.h"
#include "services/preference_broker/store/labeling/leases.h"
#include "services/preference_broker/store/labels/export.h"
#include "tests/integration/broker/fixtures.h"
#include "tests/support/await.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;
using ::testing::HasSubstr;
using Labeling = v1::LabelingService::Stub;

class Leasing : public ::testing::Test {
 protected:
  // A run with open questions; `overlap` answers are wanted to each.
  void Open(int questions, int overlap = 1, bool has_true_reward = true) {
    run_ = broker_.CreateRun("labels: 1000 seed: 5", has_true_reward);
    (void)broker_.Claim(Role::kLearner);
    trainer_ = broker_.Claim(Role::kTrainer);
    clips_ = broker_.Upload(run_.id(), 0, 2 * questions, has_true_reward);
    const auto opened = broker_.Open(run_.id(), trainer_.epoch(), 0, clips_, overlap);
    ASSERT_TRUE(opened.ok()) << opened.status();
  }

  absl::StatusOr<v1::LeaseResponse> Lease(const Peer& peer, int count = 1, int wait_ms = 0) {
    v1::LeaseRequest request;
    request.set_count(count);
    request.set_wait_ms(wait_ms);
    return peer.Call(peer.labeling, &Labeling::Lease, request);
  }
  std::string LeaseOne(const Peer& peer) {
    const auto leased = Lease(peer);
    EXPECT_TRUE(leased.ok()) << leased.status();
    if (!leased.ok() || leased->questions_size() != 1) {
      ADD_FAILURE() << "nothing to lease";
      return "";
    }
    return leased->questions(0).lease_id();
  }

  static absl::StatusOr<v1::UndoResponse> Undo(const Peer& peer, const std::string& lease,
                                               const std::string& key = NewId()) {
    return peer.Call(peer.labeling, &Labeling::Undo, UndoOf(lease, key));
  }

  std::string Sql(const std::string& sql) { return Query(broker_.database(), sql); }
  void RunOutOfTime(const std::string& lease) {
    Sql(absl::StrCat("UPDATE leases SET expires_at = now() - interval '1 second' WHERE id = '",
                     lease, "'"));
    preference_broker::Connection connection(broker_.database(), "test", nullptr);
    // another look may be at it right now, or was faster
    while (Sql(absl::StrCat("SELECT state FROM leases WHERE id = '", lease, "'")) == "LIVE") {
      ASSERT_TRUE(preference_broker::ExpireLeases(connection).ok());
    }
  }
  int64_t WaitForLabels(int64_t wanted) {
    const Peer& peer = broker_.As(Role::kOperator);
    v1::WatchRunRequest watch;
    watch.set_run_id(run_.id());
    watch.set_wait_ms(5000);
    const absl::Time give_up = absl::Now() + kPatience;
    while (absl::Now() < give_up) {
      const auto run = peer.Call(peer.runs, &v1::RunService::Stub::Watch, watch);
      EXPECT_TRUE(run.ok()) << run.status();
      if (!run.ok() || run->labels() == wanted) return wanted;
      watch.set_since_revision(run->revision());
    }
    return -1;
  }

  TestBroker broker_;
  v1::Run run_;
  v1::ClaimResponse trainer_;
  std::vector<std::string> clips_;
};

TEST_F(Leasing, OfLargePairsFitIntoAnAnswerAndThoseOfTooLargeOnesAreRefused) {
  run_ = broker_.CreateRun("labels: 1000");
  trainer_ = broker_.Claim(Role::kTrainer);
  const Peer& worker = broker_.As(Role::kWorker);
  const auto upload = [&](int index) {
    constexpr int kBodies = 10'000;
    v1::UploadClipsRequest request;
    request.set_run_id(run_.id());
    v1::Clip& clip = *request.add_clips();
    clip = TestClip(index, 0, 0, index);
    clip.mutable_poses()->set_bodies(kBodies);
    clip.mutable_poses()->mutable_poses()->Resize(4 * kBodies * 7, 0.5f);
    return worker.Call(worker.clips, &v1::ClipService::Stub::Upload, request);
  };
  // pairs of 2.2 MB: two are over the limit of messages
  constexpr int kPairs = 4;
  for (int i = 0; i < 2 * kPairs; ++i) {
    const auto uploaded = upload(i);
    ASSERT_TRUE(uploaded.ok()) << uploaded.status();
    clips_.push_back(uploaded->clip_ids(0));
  }
  ASSERT_TRUE(broker_.Open(run_.id(), trainer_.epoch(), 0, clips_).ok());
  const Peer& labeler = broker_.As(Role::kLabeler);
  for (int i = 0; i < kPairs; ++i) {
    const auto leased = Lease(labeler, kPairs);
    ASSERT_TRUE(leased.ok()) << leased.status();
    EXPECT_EQ(leased->questions_size(), 1);
  }
  run_ = broker_.CreateRun("labels: 1000 queries { clips_per_question: 4 }");
  const auto refused = upload(99);
  EXPECT_EQ(Code(refused), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(refused), HasSubstr("a question of 4 clips of 3 steps with 10000 bodies"));
}

TEST_F(Leasing, NeverOverLeasesUnderSixteenLabelersAtOnce) {
  constexpr int kQuestions = 40, kOverlap = 3, kLabelers = 16;
  Open(kQuestions, kOverlap);
  std::vector<Peer*> peers;
  for (int i = 0; i < kLabelers; ++i)
    peers.push_back(&broker_.As(Role::kLabeler, absl::StrCat("labeler", i)));
  std::atomic<int> leased{0};
  std::vector<std::thread> threads;
  for (Peer* peer : peers) {
    threads.emplace_back([&, peer] {
      while (true) {
        const auto response = Lease(*peer, 3);
        if (!response.ok()) {
          ADD_FAILURE() << response.status();
          return;
        }
        if (response->questions_size() == 0) return;
        for (const v1::Question& question : response->questions()) {
          ++leased;
          const auto label = Submit(*peer, AnswerTo(question.lease_id(), v1::LEFT));
          EXPECT_TRUE(label.ok()) << label.status();
          EXPECT_FALSE(label.ok() && label->surplus());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // who found a row locked may have gone before all was taken
  while (true) {
    int more = 0;
    for (Peer* peer : peers) {
      const auto response = Lease(*peer, 3);
      ASSERT_TRUE(response.ok()) << response.status();
      more += response->questions_size();
    }
    leased += more;
    if (more == 0) break;
  }
  EXPECT_EQ(leased, kQuestions * kOverlap);
  EXPECT_EQ(Sql("SELECT count(*) FROM leases"), absl::StrCat(kQuestions * kOverlap));
  EXPECT_EQ(
      Sql("SELECT max(n) FROM (SELECT count(*) AS n FROM leases GROUP BY question_id) counts"),
      absl::StrCat(kOverlap));
  EXPECT_EQ(Sql("SELECT sum(open_slots) FROM questions"), "0");
  EXPECT_EQ(BrokenSlots(broker_), "0");
}

TEST_F(Leasing, ExpiryGivesASlotBackOnce) {
  Open(5);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const auto leased = Lease(labeler, 5);
  ASSERT_EQ(leased->questions_size(), 5);
  Sql("UPDATE leases SET expires_at = now() - interval '1 second'");
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      preference_broker::Connection connection(broker_.database(), "test", nullptr);
      for (int k = 0; k < 5; ++k) EXPECT_TRUE(preference_broker::ExpireLeases(connection).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Sql("SELECT sum(open_slots) FROM questions"), "5");
  EXPECT_EQ(BrokenSlots(broker_), "0");
  // they can be leased again, by the same labeler too: a few at a time
  EXPECT_EQ(Lease(labeler, 5)->questions_size(), 2);
  EXPECT_EQ(Lease(broker_.As(Role::kLabeler, "other"), 5)->questions_size(), 3);
}

TEST_F(Leasing, OneHeartbeatRenewsAllLeasesOfItsCaller) {
  Open(3);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const Peer& other = broker_.As(Role::kLabeler, "other");
  ASSERT_EQ(Lease(labeler, 2)->questions_size(), 2);
  ASSERT_EQ(Lease(other, 1)->questions_size(), 1);
  Sql("UPDATE leases SET expires_at = now() + interval '20 seconds'");
  const auto beat = labeler.Call(labeler.labeling, &Labeling::Heartbeat, v1::HeartbeatRequest());
  ASSERT_TRUE(beat.ok()) << beat.status();
  EXPECT_EQ(beat->leases(), 2);
  EXPECT_EQ(Sql("SELECT count(*) FROM leases WHERE expires_at > now() + interval '30 seconds'"),
            "2");
}

TEST_F(Leasing, TheSameLabelTwiceIsOne) {
  Open(2);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const v1::SubmitRequest request = AnswerTo(LeaseOne(labeler), v1::LEFT);
  const auto first = Submit(labeler, request);
  const auto repeated = Submit(labeler, request);
  const auto other_key = Submit(labeler, AnswerTo(request.lease_id(), v1::LEFT));
  ASSERT_TRUE(first.ok() && repeated.ok() && other_key.ok());
  EXPECT_EQ(repeated->label_id(), first->label_id());
  EXPECT_EQ(other_key->label_id(), first->label_id());
  EXPECT_EQ(Sql("SELECT count(*) FROM labels"), "1");
}

TEST_F(Leasing, TheSameLabelManyTimesAtOnceIsOne) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const v1::SubmitRequest request = AnswerTo(LeaseOne(labeler), v1::TIE);
  std::set<int64_t> ids;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const auto label = Submit(labeler, request);
      ASSERT_TRUE(label.ok()) << label.status();
      std::lock_guard lock(mutex);
      ids.insert(label->label_id());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ids.size(), 1u);
  EXPECT_EQ(Sql("SELECT count(*) FROM labels"), "1");
}

TEST_F(Leasing, RefusesASecondDifferentAnswer) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const v1::SubmitRequest request = AnswerTo(LeaseOne(labeler), v1::LEFT);
  const auto label = Submit(labeler, request);
  ASSERT_TRUE(label.ok());
  const auto changed = Submit(labeler, AnswerTo(request.lease_id(), v1::RIGHT));
  EXPECT_EQ(Code(changed), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(changed.status().message()), HasSubstr("supersedes"));
  v1::SubmitRequest same_key = request;
  same_key.mutable_answer()->set_choice(v1::RIGHT);
  EXPECT_EQ(Code(Submit(labeler, same_key)), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Sql("SELECT count(*) FROM labels"), "1");
  // with the label it replaces it is a correction
  v1::SubmitRequest correction = AnswerTo(request.lease_id(), v1::CANNOT_TELL);
  correction.set_supersedes(label->label_id());
  ASSERT_TRUE(Submit(labeler, correction).ok());
  EXPECT_EQ(Code(Submit(labeler,
                        [&] {
                          auto stale = AnswerTo(request.lease_id(), v1::TIE);
                          stale.set_supersedes(label->label_id());
                          return stale;
                        }())),
            absl::StatusCode::kFailedPrecondition);
  // which does not count
  EXPECT_EQ(WaitForLabels(0), 0);
  EXPECT_EQ(BrokenSlots(broker_), "0");
}

TEST_F(Leasing, RefusesLeasesThatAreSomeoneElsesOrNobodys) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const Peer& other = broker_.As(Role::kLabeler, "other");
  const std::string lease = LeaseOne(labeler);
  EXPECT_EQ(Code(Submit(other, AnswerTo(lease, v1::LEFT))), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Code(Undo(other, lease)), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Code(Submit(other, AnswerTo(std::string(32, '0'), v1::LEFT))),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Code(Submit(other, AnswerTo("'; DROP TABLE labels; --", v1::LEFT))),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Sql("SELECT count(*) FROM labels"), "0");
}

TEST_F(Leasing, RefusesAnswersThatAreNone) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const std::string lease = LeaseOne(labeler);
  v1::SubmitRequest request = AnswerTo(lease, v1::CHOICE_UNSPECIFIED);
  EXPECT_EQ(Code(Submit(labeler, request)), absl::StatusCode::kInvalidArgument);
  request.clear_answer();
  EXPECT_EQ(Code(Submit(labeler, request)), absl::StatusCode::kInvalidArgument);
  request = AnswerTo(lease, v1::LEFT, "short");
  EXPECT_EQ(Code(Submit(labeler, request)), absl::StatusCode::kInvalidArgument);
  request = AnswerTo(lease, v1::LEFT);
  request.mutable_timing()->set_decision_ms(-1);
  EXPECT_EQ(Code(Submit(labeler, request)), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Sql("SELECT count(*) FROM labels"), "0");
}

TEST_F(Leasing, ALateAnswerFillsAnOpenSlot) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const std::string lease = LeaseOne(labeler);
  RunOutOfTime(lease);
  const auto label = Submit(labeler, AnswerTo(lease, v1::LEFT));
  ASSERT_TRUE(label.ok()) << label.status();
  EXPECT_FALSE(label->surplus());
  EXPECT_EQ(Sql("SELECT sum(open_slots) FROM questions"), "0");
  EXPECT_EQ(BrokenSlots(broker_), "0");
  EXPECT_EQ(WaitForLabels(1), 1);
}

TEST_F(Leasing, ALateAnswerToATakenQuestionIsASurplus) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const Peer& other = broker_.As(Role::kLabeler, "other");
  const std::string lease = LeaseOne(labeler);
  RunOutOfTime(lease);
  ASSERT_TRUE(Submit(other, AnswerTo(LeaseOne(other), v1::LEFT)).ok());
  const auto label = Submit(labeler, AnswerTo(lease, v1::RIGHT));
  ASSERT_TRUE(label.ok()) << label.status();
  EXPECT_TRUE(label->surplus());
  EXPECT_EQ(BrokenSlots(broker_), "0");
  EXPECT_EQ(Sql("SELECT count(*) FROM labels"), "2");
  EXPECT_EQ(WaitForLabels(1), 1);  // outside the budget
}

TEST_F(Leasing, ALateAnswerReplacesTheSameLabelersNewLease) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const std::string old_lease = LeaseOne(labeler);
  RunOutOfTime(old_lease);
  const std::string new_lease = LeaseOne(labeler);
  ASSERT_TRUE(Submit(labeler, AnswerTo(old_lease, v1::LEFT)).ok());
  EXPECT_EQ(Code(Submit(labeler, AnswerTo(new_lease, v1::RIGHT))),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(BrokenSlots(broker_), "0");
  EXPECT_EQ(Sql("SELECT count(*) FROM labels"), "1");
}

TEST_F(Leasing, UndoReopensTheQuestionUnderItsLease) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const std::string lease = LeaseOne(labeler);
  EXPECT_EQ(Code(Undo(labeler, lease)), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(Submit(labeler, AnswerTo(lease, v1::LEFT)).ok());
  EXPECT_EQ(WaitForLabels(1), 1);
  const std::string key = NewId();
  ASSERT_TRUE(Undo(labeler, lease, key).ok());
  ASSERT_TRUE(Undo(labeler, lease, key).ok());
  ASSERT_TRUE(Undo(labeler, lease).ok());
  EXPECT_EQ(Sql("SELECT count(*) FROM labels WHERE retraction"), "1");
  EXPECT_EQ(WaitForLabels(0), 0);
  EXPECT_EQ(BrokenSlots(broker_), "0");
  ASSERT_TRUE(Submit(labeler, AnswerTo(lease, v1::RIGHT)).ok());
  EXPECT_EQ(WaitForLabels(1), 1);
  EXPECT_EQ(BrokenSlots(broker_), "0");
}

TEST_F(Leasing, UndoThenExpiryGivesTheSlotBackOnce) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const std::string lease = LeaseOne(labeler);
  ASSERT_TRUE(Submit(labeler, AnswerTo(lease, v1::LEFT)).ok());
  ASSERT_TRUE(Undo(labeler, lease).ok());
  EXPECT_EQ(Sql("SELECT sum(open_slots) FROM questions"), "0");
  RunOutOfTime(lease);
  EXPECT_EQ(Sql("SELECT sum(open_slots) FROM questions"), "1");
  EXPECT_EQ(BrokenSlots(broker_), "0");
  EXPECT_NE(LeaseOne(broker_.As(Role::kLabeler, "other")), "");
}

TEST_F(Leasing, ALabelerSeesPicturesAndNothingElse) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  const auto leased = Lease(labeler);
  ASSERT_EQ(leased->questions_size(), 1);
  const v1::Question& question = leased->questions(0);
  ASSERT_EQ(question.clips_size(), 2);
  for (const v1::ShownClip& clip : question.clips()) {
    EXPECT_EQ(clip.steps(), 3);
    EXPECT_EQ(clip.poses().poses_size(), 4 * 2 * 7);
    EXPECT_EQ(clip.true_rewards_size(), 0);
  }
  EXPECT_EQ(question.mean_return(), 0);
  EXPECT_EQ(question.return_deviation(), 0);
  EXPECT_EQ(question.lease_id().size(), 32u);
  for (const std::string& clip : clips_)
    EXPECT_EQ(leased->SerializeAsString().find(clip), std::string::npos);
}

TEST_F(Leasing, TeachersAreToldWhatClipsUsuallyEarnUpToTheQuestionWheneverTheyAsk) {
  constexpr int kQuestions = 60;  // the last one has more than 100 clips before it
  Open(kQuestions, /*overlap=*/2);
  const Peer& early = broker_.As(Role::kTeacher, "early");
  const Peer& late = broker_.As(Role::kTeacher, "late");
  std::vector<double> returns;
  for (int i = 0; i < kQuestions; ++i) {
    const auto leased = Lease(early);
    ASSERT_EQ(leased->questions_size(), 1);
    const v1::Question& question = leased->questions(0);
    for (const v1::ShownClip& clip : question.clips()) returns.push_back(3 * clip.true_rewards(0));
    const size_t count = std::min<size_t>(returns.size(), 100);
    const double mean =
        std::accumulate(returns.end() - count, returns.end(), 0.0) / static_cast<double>(count);
    double variance = 0;
    for (auto value = returns.end() - count; value != returns.end(); ++value) {
      variance += (*value - mean) * (*value - mean) / static_cast<double>(count);
    }
    EXPECT_NEAR(question.mean_return(), mean, 1e-6);
    EXPECT_NEAR(question.return_deviation(), std::sqrt(variance), 1e-6);
    ASSERT_TRUE(Submit(early, AnswerTo(question.lease_id(), v1::LEFT)).ok());
    if (i != 1) continue;
    const auto again = Lease(late, 2);
    ASSERT_EQ(again->questions_size(), 2);
    EXPECT_EQ(again->questions(1).mean_return(), question.mean_return());
    EXPECT_EQ(again->questions(1).return_deviation(), question.return_deviation());
  }
}

TEST_F(Leasing, SidesAreTurnedBackInTheFeedAndNotInTheExport) {
  Open(32);
  const Peer& teacher = broker_.As(Role::kTeacher);
  int turned = 0;
  for (int i = 0; i < 32; ++i) {
    const auto leased = Lease(teacher);
    ASSERT_EQ(leased->questions_size(), 1);
    const v1::Question& question = leased->questions(0);
    // the question's second clip has the larger true reward
    const bool second_is_left =
        question.clips(0).true_rewards(0) > question.clips(1).true_rewards(0);
    turned += second_is_left;
    ASSERT_TRUE(
        Submit(teacher, AnswerTo(question.lease_id(), second_is_left ? v1::LEFT : v1::RIGHT)).ok());
  }
  EXPECT_GT(turned, 4);
  EXPECT_LT(turned, 28);
  EXPECT_EQ(WaitForLabels(32), 32);
  preference_broker::Connection connection(broker_.database(), "test", nullptr);
  const auto feed = preference_broker::ReadFeed(connection, run_.id(), 1, 100);
  ASSERT_TRUE(feed.ok());
  ASSERT_EQ(feed->size(), 32u);
  for (const auto& item : *feed) {
    EXPECT_EQ(item.entry.answer().choice(), v1::RIGHT);
    EXPECT_EQ(item.entry.clip_ids(1), clips_[2 * item.entry.ordinal() + 1]);
  }
  const auto exported = preference_broker::ReadStandingLabels(connection, run_.id(), 1, 100);
  for (const v1::ExportedLabel& label : *exported) {
    // as shown: whichever side was chosen holds the odd clip
    const int chosen = label.answer().choice() == v1::LEFT ? 0 : 1;
    const auto at =
        std::find(clips_.begin(), clips_.end(), label.clip_ids(chosen)) - clips_.begin();
    EXPECT_EQ(at % 2, 1);
  }
}

TEST_F(Leasing, ATeacherIsRefusedATaskWithoutATrueReward) {
  Open(1, 1, /*has_true_reward=*/false);
  const Peer& teacher = broker_.As(Role::kTeacher);
  v1::LeaseRequest request;
  request.set_run_id(run_.id());
  const auto refused = teacher.Call(teacher.labeling, &Labeling::Lease, request);
  EXPECT_EQ(Code(refused), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("true_reward"));
  EXPECT_EQ(Lease(teacher)->questions_size(), 0);
  EXPECT_EQ(Lease(broker_.As(Role::kLabeler))->questions_size(), 1);
}

TEST_F(Leasing, ATeacherAloneIsGivenTheRubricOfATaskWithoutATrueReward) {
  const Peer& operator_peer = broker_.As(Role::kOperator);
  ASSERT_TRUE(client::PutBundle(operator_peer.client, "a bundle").ok());
  v1::CreateRunRequest create;
  create.set_request_id(NewId());
  *create.mutable_task() = TestTask(base::Sha256Hex("a bundle"), /*has_true_reward=*/false);
  create.mutable_task()->set_rubric_criteria(2);
  run_ = *operator_peer.Call(operator_peer.runs, &v1::RunService::Stub::Create, create);
  (void)broker_.Claim(Role::kLearner);
  trainer_ = broker_.Claim(Role::kTrainer);

  const Peer& worker = broker_.As(Role::kWorker);
  v1::UploadClipsRequest upload;
  upload.set_run_id(run_.id());
  for (int i = 0; i < 2; ++i) {
    *upload.add_clips() = TestClip(i, 0, 0, i, /*has_true_reward=*/false);
  }
  const auto refused = worker.Call(worker.clips, &v1::ClipService::Stub::Upload, upload);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("rubric has 0 numbers instead of 2"));
  for (int i = 0; i < 2; ++i) {
    for (const float value : {i + 0.5f, 7.f}) upload.mutable_clips(i)->add_rubric(value);
  }
  const auto stored = *worker.Call(worker.clips, &v1::ClipService::Stub::Upload, upload);
  ASSERT_TRUE(broker_
                  .Open(run_.id(), trainer_.epoch(), 0,
                        {stored.clip_ids().begin(), stored.clip_ids().end()}, 2)
                  .ok());

  const auto shown = *Lease(broker_.As(Role::kLabeler));
  ASSERT_EQ(shown.questions_size(), 1);
  EXPECT_EQ(shown.questions(0).clips(0).rubric_size(), 0);
  const auto taught = *Lease(broker_.As(Role::kTeacher));
  ASSERT_EQ(taught.questions_size(), 1);
  std::vector<float> first;
  for (const v1::ShownClip& clip : taught.questions(0).clips()) {
    ASSERT_EQ(clip.rubric_size(), 2);
    first.push_back(clip.rubric(0));
    EXPECT_EQ(clip.rubric(1), 7);
  }
  std::sort(first.begin(), first.end());
  EXPECT_EQ(first, (std::vector<float>{0.5f, 1.5f}));
}

TEST_F(Leasing, SaysWhyThereIsNothingToLabel) {
  EXPECT_EQ(Lease(broker_.As(Role::kLabeler))->none(), v1::LEARNING);
  Open(1, 2);
  const Peer& labeler = broker_.As(Role::kLabeler);
  ASSERT_TRUE(Submit(labeler, AnswerTo(LeaseOne(labeler), v1::LEFT)).ok());
  EXPECT_EQ(Lease(labeler)->none(), v1::ALL_ANSWERED_BY_YOU);
  const Peer& other = broker_.As(Role::kLabeler, "other");
  ASSERT_TRUE(Submit(other, AnswerTo(LeaseOne(other), v1::LEFT)).ok());
  EXPECT_EQ(Lease(labeler)->none(), v1::LEARNING);
  const Peer& operator_peer = broker_.As(Role::kOperator);
  v1::CancelRunRequest cancel;
  cancel.set_run_id(run_.id());
  cancel.set_pause(true);
  ASSERT_TRUE(operator_peer.Call(operator_peer.runs, &v1::RunService::Stub::Cancel, cancel).ok());
  EXPECT_EQ(Lease(labeler)->none(), v1::PAUSED_BY_OPERATOR);
  cancel.set_pause(false);
  ASSERT_TRUE(operator_peer.Call(operator_peer.runs, &v1::RunService::Stub::Cancel, cancel).ok());
  EXPECT_EQ(Lease(labeler)->none(), v1::BUDGET_SPENT);
  v1::LeaseRequest unknown;
  unknown.set_run_id(99);
  EXPECT_EQ(Code(labeler.Call(labeler.labeling, &Labeling::Lease, unknown)),
            absl::StatusCode::kNotFound);
}

TEST_F(Leasing, AWaitingLabelerIsWokenByNewQuestions) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  LeaseOne(labeler);
  absl::StatusOr<v1::LeaseResponse> waited;
  std::thread waiter([&] { waited = Lease(labeler, 1, 20'000); });
  const std::vector<std::string> clips = broker_.Upload(run_.id(), 1, 2);
  ASSERT_TRUE(broker_.Open(run_.id(), trainer_.epoch(), 1, clips).ok());
  waiter.join();
  ASSERT_TRUE(waited.ok()) << waited.status();
  EXPECT_EQ(waited->questions_size(), 1);
}

TEST_F(Leasing, LabelsAreAppendOnly) {
  Open(1);
  const Peer& labeler = broker_.As(Role::kLabeler);
  ASSERT_TRUE(Submit(labeler, AnswerTo(LeaseOne(labeler), v1::LEFT)).ok());
  EXPECT_EQ(WaitForLabels(1), 1);
  EXPECT_ANY_THROW(Sql("UPDATE labels SET choice = 'RIGHT'"));
  EXPECT_ANY_THROW(Sql("UPDATE labels SET position = 7"));
  EXPECT_ANY_THROW(Sql("DELETE FROM labels"));
}

}  // namespace
}  // namespace backflip::testing
