// The label feed: nothing is skipped, doubled or reordered, whatever commits at
// the same time.
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "services/preference_broker/store/labeling/leases.h"
#include "services/preference_broker/store/labeling/submit.h"
#include "tests/integration/broker/fixtures.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;

// Reads a feed until `stop` answers true to an entry.
void Follow(const Peer& trainer, int64_t run_id, int64_t from,
            const std::function<bool(const v1::LabelFeedMessage&)>& stop) {
  const auto context = trainer.client.UnaryContext(absl::Seconds(60));
  v1::FollowLabelsRequest request;
  request.set_run_id(run_id);
  request.set_from_position(from);
  const auto reader = trainer.training->FollowLabels(context.get(), request);
  v1::LabelFeedMessage message;
  while (reader->Read(&message)) {
    if (stop(message)) {
      context->TryCancel();
      return;
    }
  }
  ADD_FAILURE() << "the feed ended: " << reader->Finish().error_message();
}

TEST(Feed, IsGaplessAndCompleteWhileManyAnswerThroughTwoBrokers) {
  constexpr int kQuestions = 120, kLabelers = 8;
  TestBroker first;
  preference_broker::BrokerOptions options;
  options.database = first.database();
  TestBroker second(options);
  const v1::Run run = first.CreateRun("labels: 1000");
  const v1::ClaimResponse claim = first.Claim(Role::kTrainer);
  const std::vector<std::string> clips = first.Upload(run.id(), 0, 2 * kQuestions);
  ASSERT_TRUE(first.Open(run.id(), claim.epoch(), 0, clips).ok());

  std::vector<std::thread> labelers;
  for (int i = 0; i < kLabelers; ++i) {
    TestBroker& broker = i % 2 == 0 ? first : second;
    Peer* const peer = &broker.As(Role::kLabeler, absl::StrCat("labeler", i));
    labelers.emplace_back([peer] {
      v1::LeaseRequest lease;
      lease.set_count(2);
      lease.set_wait_ms(1);
      while (true) {
        const auto leased = peer->Call(peer->labeling, &v1::LabelingService::Stub::Lease, lease);
        ASSERT_TRUE(leased.ok()) << leased.status();
        if (leased->questions_size() == 0) return;
        for (const v1::Question& question : leased->questions()) {
          v1::SubmitRequest submit = AnswerTo(question.lease_id(), v1::TIE);
          const auto label = peer->Call(peer->labeling, &v1::LabelingService::Stub::Submit, submit);
          ASSERT_TRUE(label.ok()) << label.status();
        }
      }
    });
  }
  // two followers, one at each broker
  std::vector<std::vector<int64_t>> orders(2);
  std::vector<std::thread> followers;
  for (int f = 0; f < 2; ++f) {
    Peer* const trainer = &(f == 0 ? first : second).As(Role::kTrainer);
    followers.emplace_back([&, f, trainer] {
      std::set<std::string> clips_seen;
      Follow(*trainer, run.id(), 1, [&](const v1::LabelFeedMessage& message) {
        if (message.has_clip()) {
          EXPECT_TRUE(clips_seen.insert(message.clip().clip_id()).second) << "sent twice";
        }
        if (!message.has_entry()) return false;
        for (const std::string& clip : message.entry().clip_ids())
          EXPECT_EQ(clips_seen.count(clip), 1u);
        orders[f].push_back(message.entry().label_id());
        EXPECT_EQ(message.entry().position(), static_cast<int64_t>(orders[f].size()));
        return orders[f].size() == kQuestions;
      });
    });
  }
  for (std::thread& thread : labelers) thread.join();
  for (std::thread& thread : followers) thread.join();
  EXPECT_EQ(orders[0], orders[1]);
  EXPECT_EQ(std::set<int64_t>(orders[0].begin(), orders[0].end()).size(),
            static_cast<size_t>(kQuestions));
  // and again, from the middle
  int seen = 0;
  Follow(first.As(Role::kTrainer), run.id(), 100, [&](const v1::LabelFeedMessage& message) {
    if (message.has_entry()) {
      EXPECT_EQ(message.entry().label_id(), orders[0][99 + seen]);
      ++seen;
    }
    return message.has_caught_up();
  });
  EXPECT_EQ(seen, kQuestions - 99);
}

TEST(Feed, TakesUpLabelsThatABrokerLeftWithoutAPlace) {
  TestBroker broker;
  const v1::Run run = broker.CreateRun("labels: 100");
  const v1::ClaimResponse claim = broker.Claim(Role::kTrainer);
  ASSERT_TRUE(broker.Open(run.id(), claim.epoch(), 0, broker.Upload(run.id(), 0, 2)).ok());
  // what a broker does that is killed right after the commit
  preference_broker::Connection connection(broker.database(), "other", nullptr);
  broker.Token(Role::kLabeler);
  preference_broker::Caller caller;
  caller.id = std::stoll(Query(broker.database(), "SELECT id FROM callers WHERE name = 'labeler'"));
  preference_broker::RunCache runs;
  preference_broker::LeaseTerms terms;
  terms.lease_ms = 60'000;
  const auto leased = preference_broker::LeaseQuestions(connection, runs, caller, terms);
  ASSERT_TRUE(leased.ok() && leased->response.questions_size() == 1);
  v1::SubmitRequest submit = AnswerTo(leased->response.questions(0).lease_id(), v1::LEFT);
  ASSERT_TRUE(preference_broker::SubmitLabel(connection, runs, caller, submit).ok());
  Follow(broker.As(Role::kTrainer), run.id(), 1,
         [](const v1::LabelFeedMessage& message) { return message.has_entry(); });
}

TEST(Feed, HoldsTrueRewardsWhereTheRunIsFittedToThemAlone) {
  for (const bool fitted : {false, true}) {
    TestBroker broker;
    const v1::Run run = broker.CreateRun(fitted ? "reward_model { target: TRUE_RETURNS }" : "");
    const v1::ClaimResponse claim = broker.Claim(Role::kTrainer);
    ASSERT_TRUE(broker.Open(run.id(), claim.epoch(), 0, broker.Upload(run.id(), 0, 2)).ok());
    const Peer& teacher = broker.As(Role::kTeacher);
    const auto leased =
        teacher.Call(teacher.labeling, &v1::LabelingService::Stub::Lease, v1::LeaseRequest());
    ASSERT_EQ(leased->questions_size(), 1);
    ASSERT_TRUE(Submit(teacher, AnswerTo(leased->questions(0).lease_id(), v1::LEFT)).ok());
    int clips = 0;
    Follow(broker.As(Role::kTrainer), run.id(), 1, [&](const v1::LabelFeedMessage& message) {
      if (message.has_clip()) {
        ++clips;
        EXPECT_EQ(message.clip().clip().true_rewards_size(), fitted ? 3 : 0);
        EXPECT_EQ(message.clip().clip().rubric_size(), 0);
      }
      return message.has_entry();
    });
    EXPECT_EQ(clips, 2);
  }
}

TEST(Feed, TellsCorrectionsAndRetractions) {
  TestBroker broker;
  const v1::Run run = broker.CreateRun("labels: 100");
  const v1::ClaimResponse claim = broker.Claim(Role::kTrainer);
  ASSERT_TRUE(broker.Open(run.id(), claim.epoch(), 0, broker.Upload(run.id(), 0, 2)).ok());
  const Peer& labeler = broker.As(Role::kLabeler);
  const auto leased =
      labeler.Call(labeler.labeling, &v1::LabelingService::Stub::Lease, v1::LeaseRequest());
  ASSERT_EQ(leased->questions_size(), 1);
  v1::SubmitRequest submit = AnswerTo(leased->questions(0).lease_id(), v1::TIE);
  const auto label = labeler.Call(labeler.labeling, &v1::LabelingService::Stub::Submit, submit);
  submit.set_idempotency_key(NewId());
  submit.mutable_answer()->set_choice(v1::CANNOT_TELL);
  submit.set_supersedes(label->label_id());
  const auto corrected = labeler.Call(labeler.labeling, &v1::LabelingService::Stub::Submit, submit);
  ASSERT_TRUE(corrected.ok()) << corrected.status();
  v1::UndoRequest undo;
  undo.set_lease_id(submit.lease_id());
  undo.set_idempotency_key(NewId());
  ASSERT_TRUE(labeler.Call(labeler.labeling, &v1::LabelingService::Stub::Undo, undo).ok());
  submit.set_idempotency_key(NewId());
  submit.mutable_answer()->set_choice(v1::TIE);
  submit.clear_supersedes();
  ASSERT_TRUE(labeler.Call(labeler.labeling, &v1::LabelingService::Stub::Submit, submit).ok());

  std::vector<v1::LabelEntry> entries;
  Follow(broker.As(Role::kTrainer), run.id(), 1, [&](const v1::LabelFeedMessage& message) {
    if (message.has_entry()) entries.push_back(message.entry());
    return entries.size() == 4;
  });
  EXPECT_FALSE(entries[0].has_supersedes());
  EXPECT_EQ(entries[1].supersedes(), entries[0].label_id());
  EXPECT_FALSE(entries[1].retraction());
  EXPECT_EQ(entries[2].supersedes(), entries[1].label_id());
  EXPECT_TRUE(entries[2].retraction());
  EXPECT_FALSE(entries[2].has_answer());
  EXPECT_FALSE(entries[3].has_supersedes());
  EXPECT_EQ(entries[3].answer().choice(), v1::TIE);
}

}  // namespace
}  // namespace backflip::testing
