#include "services/policy_learner/collector.h"

#include <cmath>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/method/batches.h"
#include "common/method/pace.h"
#include "common/options/run_spec.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/services/policy_learner/synthetic_rollouts.h"

namespace backflip::policy_learner {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kEnvironments = 8;
constexpr int kSteps = 4;  // of each environment in a batch

v1::RunSpec Spec() {
  v1::RunSpec spec;
  spec.set_seed(3);
  spec.set_reward(v1::PREFERENCES);
  spec.set_steps(10 * kEnvironments * kSteps);
  spec.mutable_collection()->set_environments(kEnvironments);
  spec.mutable_collection()->set_batch_steps(kEnvironments * kSteps);
  spec.mutable_collection()->set_clips_per_batch(12);
  spec.mutable_collection()->set_initial_episode_share(1);
  return spec;
}

// A worker that keeps what it is sent.
class FakeWorker : public WorkerLink {
 public:
  FakeWorker(Collector* collector, int threads, absl::Time now = absl::Now(),
             const std::string& process = "process", const std::string& rounding = "")
      : collector_(collector) {
    v1::Register hello;
    hello.set_rounding(rounding);
    hello.set_worker(process);
    hello.set_protocol_major(1);
    hello.set_task_fingerprint("f1");
    hello.set_threads(threads);
    id = collector->Connect(hello, /*holder=*/1, this, now).value();
  }

  void Send(std::shared_ptr<const v1::LearnerMessage> message) override {
    if (message->has_policy()) policies.push_back(message->policy().version());
    if (message->has_ticket()) tickets.push_back(message->ticket());
    if (message->has_heartbeat()) ++heartbeats;
    if (message->has_release()) released = true;
    if (message->has_registered()) warning = message->registered().warning();
  }
  void Cut(absl::Status status) override { cut = std::move(status); }

  absl::Status Return(const v1::Ticket& ticket) {
    return collector_->Return(id, SyntheticRollout(ticket), absl::Now());
  }
  // Returns the ticket that came first.
  void ReturnOne() {
    const v1::Ticket ticket = tickets.front();
    tickets.pop_front();
    ASSERT_TRUE(Return(ticket).ok());
  }
  void ReturnAll() {
    while (!tickets.empty()) ReturnOne();
  }

  WorkerId id = 0;
  std::vector<int64_t> policies;
  std::deque<v1::Ticket> tickets;
  int heartbeats = 0;
  bool released = false;
  std::string warning;
  absl::Status cut;

 private:
  Collector* const collector_;
};

PolicyToAct PolicyOf(int64_t iteration) {
  return {.iteration = iteration, .version = 100 + iteration, .bytes = "bytes"};
}

bool Never() { return false; }
bool AtOnce() { return true; }

std::vector<int32_t> Indices(const std::vector<std::unique_ptr<v1::Rollout>>& rollouts) {
  std::vector<int32_t> indices;
  for (const auto& rollout : rollouts) indices.push_back(rollout->index());
  return indices;
}

TEST(Collector, SendsThePolicyBeforeTheTicketsThatNameIt) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  FakeWorker worker(&collector, 8);
  EXPECT_THAT(worker.tickets, IsEmpty());
  collector.AddPolicy(PolicyOf(0));
  EXPECT_THAT(worker.policies, ElementsAre(100));
  ASSERT_THAT(worker.tickets, SizeIs(kEnvironments));
  EXPECT_EQ(worker.tickets[0].policy_version(), 100);
  EXPECT_EQ(worker.tickets[0].steps(), kSteps);
}

TEST(Collector, OrdersABatchByTicketWhateverTheArrival) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  collector.AddPolicy(PolicyOf(0));
  FakeWorker worker(&collector, 8);
  std::vector<v1::Ticket> tickets(worker.tickets.begin(), worker.tickets.end());
  for (const int i : {5, 0, 7, 2, 1, 6, 3, 4}) {
    ASSERT_TRUE(worker.Return(tickets[i]).ok());
  }
  const auto batch = collector.WaitBatch(0, Never);
  ASSERT_TRUE(batch.ok());
  EXPECT_THAT(Indices(*batch), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST(Collector, SpreadsTheClipsOverTheTickets) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  collector.AddPolicy(PolicyOf(0));
  FakeWorker worker(&collector, 8);
  int clips = 0;
  for (const v1::Ticket& ticket : worker.tickets) clips += ticket.clips();
  EXPECT_EQ(clips, 12);
}

TEST(Collector, AsksForNoClipsInABaseline) {
  v1::RunSpec spec = Spec();
  spec.set_reward(v1::TRUE);
  Collector collector(spec, SyntheticTask(), 0, {});
  collector.AddPolicy(PolicyOf(0));
  FakeWorker worker(&collector, 8);
  for (const v1::Ticket& ticket : worker.tickets) EXPECT_EQ(ticket.clips(), 0);
}

TEST(Collector, GoesOnWhereTheEnvironmentsStood) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  collector.AddPolicy(PolicyOf(0));
  FakeWorker worker(&collector, 8);
  worker.ReturnAll();
  ASSERT_TRUE(collector.WaitBatch(0, Never).ok());
  collector.AddPolicy(PolicyOf(1));
  ASSERT_THAT(worker.tickets, SizeIs(kEnvironments));
  const v1::EnvironmentStart& start = worker.tickets[3].environments(0);
  EXPECT_EQ(start.state().physics(0), kSteps);
  EXPECT_EQ(start.state().episode_step(), kSteps);
}

TEST(Collector, BeginsItsEnvironmentsSpreadOverAnEpisode) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  collector.AddPolicy(PolicyOf(0));
  FakeWorker worker(&collector, 8);
  std::vector<int32_t> steps;
  for (const v1::Ticket& ticket : worker.tickets) {
    steps.push_back(ticket.environments(0).episode_step());
  }
  EXPECT_THAT(steps, ElementsAre(5, 4, 3, 3, 2, 1, 0, 0));  // of 6
}

TEST(Collector, NeverShortensEpisodesWhenMoreBatchesFollow) {
  v1::RunSpec spec = Spec();
  spec.mutable_collection()->set_initial_episode_share(1.0 / 3);
  Collector collector(spec, SyntheticTask(), 9, {});
  collector.AddPolicy(PolicyOf(9));
  EXPECT_EQ(collector.episode_steps(), kEpisodeSteps);
  spec.set_steps(10 * spec.steps());  // continued
  Collector continued(spec, SyntheticTask(), 9, {}, collector.episode_steps());
  continued.AddPolicy(PolicyOf(9));
  FakeWorker worker(&continued, 8);
  EXPECT_EQ(worker.tickets[0].episode_steps(), kEpisodeSteps);
}

TEST(Collector, GivesTheSameTicketsWhateverTheWorkers) {
  std::vector<std::string> seen;
  for (const int threads : {1, 3}) {
    Collector collector(Spec(), SyntheticTask(), 0, {});
    collector.AddPolicy(PolicyOf(0));
    FakeWorker a(&collector, threads), b(&collector, 1);
    std::string states;
    for (int batch = 0; batch < 2; ++batch) {
      while (!a.tickets.empty() || !b.tickets.empty()) {
        b.ReturnAll();
        a.ReturnAll();
      }
      const auto rollouts = *collector.WaitBatch(batch, Never);
      for (const auto& rollout : rollouts) {
        states += rollout->SerializeAsString();
      }
      collector.AddPolicy(PolicyOf(batch + 1));
    }
    seen.push_back(states);
  }
  EXPECT_EQ(seen[0], seen[1]);
}

TEST(Collector, StartsABatchOnlyWithItsOwnPolicy) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  collector.AddPolicy(PolicyOf(0));
  FakeWorker worker(&collector, 8);
  worker.ReturnAll();
  EXPECT_THAT(worker.tickets, IsEmpty());
  ASSERT_TRUE(collector.WaitBatch(0, Never).ok());
  EXPECT_THAT(worker.tickets, IsEmpty());
  collector.AddPolicy(PolicyOf(1));
  ASSERT_THAT(worker.tickets, SizeIs(kEnvironments));
  EXPECT_EQ(worker.tickets[0].iteration(), 1);
  EXPECT_EQ(worker.tickets[0].policy_version(), 101);
}

TEST(Collector, EndsWithTheLastBatch) {
  v1::RunSpec spec = Spec();
  spec.set_steps(kEnvironments * kSteps + 1);
  ASSERT_EQ(method::Batches(spec), 2);
  Collector collector(spec, SyntheticTask(), 1, {});
  collector.AddPolicy(PolicyOf(1));
  FakeWorker worker(&collector, 8);
  worker.ReturnAll();
  ASSERT_TRUE(collector.WaitBatch(1, Never).ok());
  collector.AddPolicy(PolicyOf(2));
  EXPECT_THAT(worker.tickets, IsEmpty());
}

TEST(Collector, GivesADeadWorkersTicketsToOthers) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  collector.AddPolicy(PolicyOf(0));
  FakeWorker dead(&collector, 8);
  dead.ReturnOne();
  dead.ReturnOne();
  collector.Disconnect(dead.id, absl::Now());
  FakeWorker worker(&collector, 8);
  EXPECT_THAT(worker.tickets, SizeIs(kEnvironments - 2));
  worker.ReturnAll();
  EXPECT_TRUE(collector.WaitBatch(0, Never).ok());
}

TEST(Collector, CutsASilentWorkerAndGivesItsTicketsToOthers) {
  const absl::Time start = absl::Now();
  Collector collector(Spec(), SyntheticTask(), 0, {});
  FakeWorker silent(&collector, 8, start);
  collector.AddPolicy(PolicyOf(0));
  collector.Tick(start + absl::Seconds(10));
  EXPECT_EQ(silent.heartbeats, 1);
  EXPECT_TRUE(silent.cut.ok());
  collector.Tick(start + absl::Seconds(16));
  EXPECT_TRUE(absl::IsDeadlineExceeded(silent.cut)) << silent.cut;
  FakeWorker worker(&collector, 8, start + absl::Seconds(16));
  EXPECT_THAT(worker.tickets, SizeIs(kEnvironments));
}

TEST(Collector, CountsAndDropsRepeatedRollouts) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  collector.AddPolicy(PolicyOf(0));
  FakeWorker worker(&collector, 8);
  const v1::Ticket first = worker.tickets.front();
  ASSERT_TRUE(worker.Return(first).ok());
  ASSERT_TRUE(worker.Return(first).ok());
  EXPECT_EQ(collector.dropped(), 1);
  worker.tickets.pop_front();
  worker.ReturnAll();
  ASSERT_TRUE(collector.WaitBatch(0, Never).ok());
  ASSERT_TRUE(worker.Return(first).ok());
  EXPECT_EQ(collector.dropped(), 2);
}

TEST(Collector, GivesTheTicketsOfAStuckWorkerToOthersAndTakesTheFirst) {
  const absl::Time start = absl::Now();
  Collector collector(Spec(), SyntheticTask(), 0, {});
  FakeWorker stuck(&collector, 8, start);
  collector.AddPolicy(PolicyOf(0));
  FakeWorker other(&collector, 8, start);
  EXPECT_THAT(other.tickets, IsEmpty());
  const absl::Time later = start + absl::Minutes(10);
  collector.Heard(stuck.id, later);
  collector.Heard(other.id, later);
  collector.Tick(later);
  EXPECT_THAT(other.tickets, SizeIs(kEnvironments));
  other.ReturnAll();
  EXPECT_TRUE(collector.WaitBatch(0, Never).ok());
  stuck.ReturnAll();
  EXPECT_EQ(collector.dropped(), kEnvironments);
}

TEST(Collector, RefusesAWorkerOfAnotherTaskOrProtocol) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  v1::Register hello;
  hello.set_protocol_major(2);
  hello.set_task_fingerprint("f1");
  hello.set_threads(1);
  const auto major = collector.Connect(hello, /*holder=*/1, nullptr, absl::Now());
  EXPECT_TRUE(absl::IsFailedPrecondition(major.status()));
  EXPECT_THAT(std::string(major.status().message()), HasSubstr("same major version"));
  hello.set_protocol_major(1);
  hello.set_task_fingerprint("f2");
  const auto task = collector.Connect(hello, /*holder=*/1, nullptr, absl::Now());
  EXPECT_TRUE(absl::IsFailedPrecondition(task.status()));
  EXPECT_THAT(std::string(task.status().message()), HasSubstr("fetch the run's bundle again"));
}

TEST(Collector, TellsAWorkerThatRoundsOtherwiseThanTheFirstOne) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  const std::string one(32, '1'), other(32, '2');
  const absl::Time now = absl::Now();
  FakeWorker old(&collector, 1, now, "of an old version");
  FakeWorker first(&collector, 1, now, "first", one);
  FakeWorker second(&collector, 1, now, "second", other);
  FakeWorker third(&collector, 1, now, "third", one);
  EXPECT_EQ(old.warning, "");
  EXPECT_EQ(first.warning, "");
  EXPECT_THAT(second.warning, HasSubstr("rounds otherwise than the first one"));
  EXPECT_EQ(third.warning, "");
}

TEST(Collector, RefusesARoundingThatIsNoHash) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  v1::Register hello;
  hello.set_protocol_major(1);
  hello.set_task_fingerprint("f1");
  hello.set_threads(1);
  hello.set_rounding(std::string(1000, 'x'));
  const auto refused = collector.Connect(hello, /*holder=*/1, nullptr, absl::Now());
  EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << refused.status();
}

TEST(Collector, LetsEvaluationsGiveWayToBatches) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  const int64_t handle = collector.Evaluate(PolicyOf(0), 0, {1, 2, 3}, false);
  collector.AddPolicy(PolicyOf(0));
  FakeWorker worker(&collector, 6);
  ASSERT_THAT(worker.tickets, SizeIs(kEnvironments + 3));
  EXPECT_EQ(worker.tickets[kEnvironments - 1].purpose(), v1::COLLECT);
  EXPECT_EQ(worker.tickets[kEnvironments].purpose(), v1::EVALUATE);
  EXPECT_EQ(worker.tickets[kEnvironments].steps(), 5);
  EXPECT_FALSE(collector.TakeEvaluation(handle).has_value());
  worker.ReturnAll();
  const auto episodes = collector.TakeEvaluation(handle);
  ASSERT_TRUE(episodes.has_value());
  EXPECT_THAT(Indices(*episodes), ElementsAre(0, 1, 2));
}

TEST(Collector, SendsAPolicyAgainThatAWorkerNoLongerKeeps) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  FakeWorker worker(&collector, 8);
  for (int i = 0; i < 6; ++i) {
    collector.AddPolicy(PolicyOf(i));
    worker.ReturnAll();
    ASSERT_TRUE(collector.WaitBatch(i, Never).ok());
  }
  collector.Evaluate(PolicyOf(4), 0, {1}, false);
  EXPECT_THAT(worker.policies, ElementsAre(100, 101, 102, 103, 104, 105));
  collector.Evaluate(PolicyOf(0), 0, {1}, false);
  EXPECT_THAT(worker.policies, ElementsAre(100, 101, 102, 103, 104, 105, 100));
}

TEST(Collector, ReleasesWorkersAndTakesThemAgain) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  FakeWorker worker(&collector, 8);
  collector.ReleaseWorkers();
  EXPECT_TRUE(worker.released);
  collector.AddPolicy(PolicyOf(0));
  EXPECT_THAT(worker.tickets, IsEmpty());
  FakeWorker early(&collector, 8);
  EXPECT_TRUE(early.released);
  collector.TakeWorkers();
  FakeWorker later(&collector, 8);
  EXPECT_FALSE(later.released);
  EXPECT_THAT(later.tickets, SizeIs(kEnvironments));
}

TEST(Collector, StopsWaitingWhenAsked) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  EXPECT_TRUE(absl::IsCancelled(collector.WaitBatch(0, AtOnce).status()));
}

TEST(Collector, SaysWhichOptionMakesRolloutsTooLarge) {
  v1::RunSpec spec = Spec();
  EXPECT_TRUE(method::CheckRolloutSizes(spec, SyntheticTask()).ok());
  spec.mutable_collection()->set_environments(1);
  spec.mutable_collection()->set_batch_steps(1'000'000);
  const absl::Status status = method::CheckRolloutSizes(spec, SyntheticTask());
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("collection.batch_steps / collection.environments"));
}

TEST(Collector, LengthensEpisodesToTheTasksOverTheRun) {
  v1::RunSpec spec = Spec();
  v1::TaskInfo long_task;
  long_task.set_clip_steps(20);
  long_task.set_episode_steps(500);
  EXPECT_EQ(method::EpisodeSteps(spec, long_task, 0), 500);
  spec.mutable_collection()->set_initial_episode_share(0.1);
  EXPECT_EQ(method::EpisodeSteps(spec, long_task, 0), 50);
  EXPECT_EQ(method::EpisodeSteps(spec, long_task, 1), 100);
  EXPECT_EQ(method::EpisodeSteps(spec, long_task, 9), 500);

  // never shorter than a clip
  const v1::TaskInfo task = SyntheticTask();
  spec.mutable_collection()->set_initial_episode_share(0.01);
  Collector collector(spec, task, 0, {});
  collector.AddPolicy(PolicyOf(0));
  FakeWorker worker(&collector, 8);
  ASSERT_THAT(worker.tickets, SizeIs(kEnvironments));
  EXPECT_EQ(worker.tickets[0].episode_steps(), task.clip_steps());
}

TEST(Collector, GroupsManyEnvironmentsInFewTickets) {
  v1::RunSpec spec = Spec();
  spec.mutable_collection()->set_environments(1000);
  spec.mutable_collection()->set_batch_steps(4000);
  Collector collector(spec, SyntheticTask(), 0, {});
  collector.AddPolicy(PolicyOf(0));
  FakeWorker worker(&collector, 64);
  int environments = 0, tickets = 0;
  for (; !worker.tickets.empty(); ++tickets) {
    environments += worker.tickets.front().environments_size();
    worker.ReturnOne();
  }
  EXPECT_EQ(environments, 1000);
  EXPECT_LE(tickets, 64);
}

v1::TicketFailure FailureOf(const v1::Ticket& ticket) {
  v1::TicketFailure failure;
  failure.set_purpose(ticket.purpose());
  failure.set_iteration(ticket.iteration());
  failure.set_index(ticket.index());
  failure.set_reason("true_reward is nan");
  return failure;
}

TEST(Collector, ATicketThatNoWorkerCanServeEndsTheWaitWithItsReason) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  collector.AddPolicy(PolicyOf(0));
  std::vector<std::unique_ptr<FakeWorker>> workers;
  for (int i = 0; i < TicketBook::kMostFailures; ++i) {
    workers.push_back(std::make_unique<FakeWorker>(&collector, 8));
  }
  const v1::TicketFailure failure = FailureOf(workers[0]->tickets[0]);
  for (const auto& worker : workers) {
    worker->tickets.clear();
    ASSERT_EQ(collector.WaitBatch(0, AtOnce).status().code(), absl::StatusCode::kCancelled);
    collector.Fail(worker->id, failure, absl::Now());
  }
  const absl::Status ended = collector.WaitBatch(0, Never).status();
  EXPECT_EQ(ended.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(ended.message()),
              AllOf(HasSubstr("batch 0, ticket 0"), HasSubstr("true_reward is nan")));
}

TEST(Collector, ATicketThatFailedOnceIsServedByAnother) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  collector.AddPolicy(PolicyOf(0));
  FakeWorker first(&collector, 8), second(&collector, 8);
  const v1::Ticket ticket = first.tickets.front();
  first.tickets.pop_front();
  collector.Fail(first.id, FailureOf(ticket), absl::Now());
  ASSERT_THAT(second.tickets, SizeIs(1));
  EXPECT_EQ(second.tickets[0].index(), ticket.index());
  second.ReturnAll();
  first.ReturnAll();
  EXPECT_TRUE(collector.WaitBatch(0, Never).ok());
}

TEST(Collector, ARolloutThatIsNoAnswerToItsTicketCountsAsAFailure) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  collector.AddPolicy(PolicyOf(0));
  for (int i = 0; i < TicketBook::kMostFailures; ++i) {
    FakeWorker worker(&collector, 8);
    auto rollout = SyntheticRollout(worker.tickets[0]);
    rollout->mutable_trajectories(0)->set_observations(0, std::nanf(""));
    EXPECT_TRUE(
        absl::IsInvalidArgument(collector.Return(worker.id, std::move(rollout), absl::Now())));
    collector.Disconnect(worker.id, absl::Now());
  }
  EXPECT_THAT(std::string(collector.WaitBatch(0, Never).status().message()),
              HasSubstr("observations[0] is not finite"));
}

TEST(Collector, ATicketThatWorkersDieOfEndsTheWait) {
  Collector collector(Spec(), SyntheticTask(), 0, {});
  const int64_t evaluation = collector.Evaluate(PolicyOf(7), 0, {1}, false);
  for (int i = 0; i < TicketBook::kMostDeaths; ++i) {
    FakeWorker worker(&collector, 8, absl::Now(), absl::StrCat("process ", i));
    ASSERT_THAT(worker.tickets, SizeIs(1));
    collector.Disconnect(worker.id, absl::Now());
  }
  EXPECT_THAT(std::string(collector.WaitEvaluation(evaluation, Never).status().message()),
              AllOf(HasSubstr("evaluation 7, ticket 0"), HasSubstr("5 workers ended")));
}

}  // namespace
}  // namespace backflip::policy_learner
