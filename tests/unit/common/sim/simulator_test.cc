#include "common/sim/simulator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>

#include "common/nn/policy.h"
#include "common/nn/snapshot.h"

namespace backflip::sim {
namespace {

using experience::End;
using experience::EpisodeEnd;
using experience::Trajectory;

std::shared_ptr<const Task> Load(const std::string& name) {
  auto task = Task::FromFolder(BACKFLIP_TASKS "/" + name);
  EXPECT_TRUE(task.ok()) << task.status();
  return *task;
}

// A policy with random weights.
std::shared_ptr<const nn::Policy> RandomPolicy(const Task& task) {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal(0, 0.5f);
  nn::Snapshot snapshot;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, bool constant,
                       float value) {
    int64_t size = 1;
    for (const int64_t s : shape) size *= s;
    std::vector<float> values(size, value);
    if (!constant) {
      for (float& v : values) v = normal(rng);
    }
    snapshot.tensors[name] = nn::Tensor{shape, values};
  };
  const int64_t o = task.observation_size(), a = task.action_size();
  add("observation_mean", {o}, true, 0);
  add("observation_std", {o}, true, 1);
  add("layer0.weight", {o, 16}, false, 0);
  add("layer0.bias", {16}, false, 0);
  add("layer1.weight", {16, a}, false, 0);
  add("layer1.bias", {a}, false, 0);
  add("log_std", {a}, true, -0.5);
  snapshot.metadata = {
      {"kind", "policy"},     {"layers", std::to_string(o) + ",16," + std::to_string(a)},
      {"activation", "tanh"}, {"observation_clip", "10"},
      {"action_clip", "1"},   {"noise_correlation", "0.8"}};
  auto policy = nn::Policy::FromSnapshot(snapshot);
  EXPECT_TRUE(policy.ok()) << policy.status();
  return *policy;
}

Ticket SampleTicket(const Task& task, int environments, int steps) {
  Ticket ticket;
  ticket.policy = RandomPolicy(task);
  ticket.steps = steps;
  for (int i = 0; i < environments; ++i) {
    ticket.environments.push_back({static_cast<uint64_t>(100 + i), {}});
  }
  return ticket;
}

std::unique_ptr<Simulator> StartOn(std::shared_ptr<const Task> task, int threads) {
  auto simulator = Simulator::Start(std::move(task), threads);
  EXPECT_TRUE(simulator.ok()) << simulator.status();
  return *std::move(simulator);
}

void ExpectSame(const Trajectory& a, const Trajectory& b) {
  EXPECT_EQ(a.observations, b.observations);
  EXPECT_EQ(a.actions, b.actions);
  EXPECT_EQ(a.log_probs, b.log_probs);
  EXPECT_EQ(a.episode_ends, b.episode_ends);
  EXPECT_EQ(a.end_observations, b.end_observations);
  EXPECT_EQ(a.last_observation, b.last_observation);
  EXPECT_EQ(a.true_rewards, b.true_rewards);
}

TEST(Simulator, GivesTheSameBitsAtAnyNumberOfThreads) {
  const auto task = Load("hopper_backflip_guided");
  const Ticket ticket = SampleTicket(*task, 6, 350);
  const auto one = StartOn(task, 1)->Run(ticket);
  ASSERT_TRUE(one.ok()) << one.status();
  const auto three = StartOn(task, 3)->Run(ticket);
  ASSERT_TRUE(three.ok()) << three.status();
  for (int i = 0; i < 6; ++i) {
    ExpectSame(one->trajectories[i], three->trajectories[i]);
    EXPECT_EQ(one->ends[i], three->ends[i]);
    EXPECT_EQ(one->recordings[i].states, three->recordings[i].states);
  }
}

TEST(Simulator, ContinuesFromAReturnedStateAsIfItHadNotStopped) {
  const auto task = Load("hopper_backflip_guided");
  auto simulator = StartOn(task, 2);
  const auto whole = simulator->Run(SampleTicket(*task, 2, 650));
  ASSERT_TRUE(whole.ok()) << whole.status();
  Ticket ticket = SampleTicket(*task, 2, 300);
  std::vector<float> actions, log_probs, rewards, observations;
  EnvironmentState end;
  for (const int steps : {300, 200, 150}) {  // an episode ends at 500
    ticket.steps = steps;
    const auto part = simulator->Run(ticket);
    ASSERT_TRUE(part.ok()) << part.status();
    const auto append = [](const std::vector<float>& from, std::vector<float>* to) {
      to->insert(to->end(), from.begin(), from.end());
    };
    append(part->trajectories[1].observations, &observations);
    append(part->trajectories[1].actions, &actions);
    append(part->trajectories[1].log_probs, &log_probs);
    append(part->trajectories[1].true_rewards, &rewards);
    for (int i = 0; i < 2; ++i) {
      ticket.environments[i].state = part->ends[i];
    }
    end = part->ends[1];
  }
  EXPECT_EQ(observations, whole->trajectories[1].observations);
  EXPECT_EQ(actions, whole->trajectories[1].actions);
  EXPECT_EQ(log_probs, whole->trajectories[1].log_probs);
  EXPECT_EQ(rewards, whole->trajectories[1].true_rewards);
  EXPECT_EQ(end, whole->ends[1]);
}

TEST(Simulator, BeginsAnEpisodeAtAMomentOfAnother) {
  for (const char* name : {"hopper_backflip", "hopper_backflip_guided", "ant"}) {
    SCOPED_TRACE(name);
    const auto task = Load(name);
    auto simulator = StartOn(task, 2);
    const auto first = simulator->Run(SampleTicket(*task, 1, 60));
    ASSERT_TRUE(first.ok()) << first.status();
    const std::vector<double>& states = first->recordings[0].states;
    const auto moment = states.begin() + 40 * task->state_size();
    Ticket ticket = SampleTicket(*task, 3, 30);
    for (int i = 0; i < 3; ++i) {
      ticket.environments[i].state = EnvironmentState{
          .physics = {moment, moment + task->state_size()}, .rng_seed = uint64_t(i) / 2};
    }
    const auto rollout = simulator->Run(ticket);
    ASSERT_TRUE(rollout.ok()) << rollout.status();
    // all but the time, which begins with the episode
    const std::vector<double>& restarted = rollout->recordings[0].states;
    EXPECT_EQ(restarted[0], 0);
    for (int i = 1; i < task->state_size(); ++i) EXPECT_EQ(restarted[i], moment[i]) << i;
    EXPECT_EQ(rollout->ends[0].episode_step, 30);
    ExpectSame(rollout->trajectories[0], rollout->trajectories[1]);
    EXPECT_NE(rollout->trajectories[0].actions, rollout->trajectories[2].actions)
        << "the noise follows the seed";
    EXPECT_EQ(rollout->ends[0].noise.size(), size_t(task->action_size()));
  }
}

TEST(Simulator, EndsEpisodesByTheTimeLimitAndBeginsNewOnes) {
  const auto task = Load("hopper");
  const auto rollout = StartOn(task, 1)->Run(SampleTicket(*task, 1, 2000));
  ASSERT_TRUE(rollout.ok()) << rollout.status();
  const Trajectory& trajectory = rollout->trajectories[0];
  EXPECT_EQ(trajectory.episode_ends,
            (std::vector<EpisodeEnd>{{999, End::kTimeLimit}, {1999, End::kTimeLimit}}));
  ASSERT_EQ(trajectory.end_observations.size(), 2u * task->observation_size());
  EXPECT_NEAR(trajectory.observations[1000 * task->observation_size()], 1.25, 0.006);
  EXPECT_EQ(rollout->ends[0].episode_step, 0);
  ASSERT_EQ(rollout->truths[0].episodes.size(), 2u);
  EXPECT_EQ(PiecesOf(trajectory)[1].first_step, 1000);
}

TEST(Simulator, EndsEpisodesEarlierWhereTheTicketSaysSo) {
  const auto task = Load("hopper");
  Ticket ticket = SampleTicket(*task, 1, 700);
  ticket.episode_steps = 300;
  const auto rollout = StartOn(task, 1)->Run(ticket);
  ASSERT_TRUE(rollout.ok()) << rollout.status();
  EXPECT_EQ(rollout->trajectories[0].episode_ends,
            (std::vector<EpisodeEnd>{{299, End::kTimeLimit}, {599, End::kTimeLimit}}));
}

TEST(Simulator, CountsAFreshEpisodeAsOldAsTheTicketSays) {
  const auto task = Load("hopper");
  Ticket ticket = SampleTicket(*task, 1, 700);
  ticket.episode_steps = 300;
  ticket.environments[0].episode_step = 250;
  const auto rollout = StartOn(task, 1)->Run(ticket);
  ASSERT_TRUE(rollout.ok()) << rollout.status();
  EXPECT_EQ(rollout->trajectories[0].episode_ends,
            (std::vector<EpisodeEnd>{
                {49, End::kTimeLimit}, {349, End::kTimeLimit}, {649, End::kTimeLimit}}));
}

TEST(Simulator, TellsADivergenceFromATimeLimit) {
  // a spring that this step of time cannot follow
  const std::string folder = testing::TempDir() + "/unstable";
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/model.xml")
      << "<mujoco><option timestep='0.1'/><worldbody><body><joint name='j' type='slide' "
         "stiffness='1e9' springref='1'/><geom size='0.1'/></body></worldbody><actuator><motor "
         "joint='j'/></actuator></mujoco>";
  std::ofstream(folder + "/task.textproto")
      << "name: 'unstable' model: 'model.xml' frame_skip: 1 episode_steps: 2\n"
         "observation { qpos {} } clip { steps: 1 } question: 'Which is better?'\n";
  const auto task = Task::FromFolder(folder);
  ASSERT_TRUE(task.ok()) << task.status();
  Ticket ticket = SampleTicket(**task, 1, 4);
  for (const auto& [episode_steps, ends] :
       std::map<int, std::vector<EpisodeEnd>>{{1,
                                               {{0, End::kTimeLimit},
                                                {1, End::kTimeLimit},
                                                {2, End::kTimeLimit},
                                                {3, End::kTimeLimit}}},
                                              {2, {{1, End::kDiverged}, {3, End::kDiverged}}},
                                              {3, {{1, End::kDiverged}, {3, End::kDiverged}}}}) {
    ticket.episode_steps = episode_steps;
    const auto rollout = StartOn(*task, 1)->Run(ticket);
    ASSERT_TRUE(rollout.ok()) << rollout.status();
    EXPECT_EQ(rollout->trajectories[0].episode_ends, ends) << episode_steps;
  }
}

TEST(Simulator, EvaluatesMeanActionsOverTheEvaluationEpisode) {
  const auto task = Load("hopper_backflip_guided");
  auto simulator = StartOn(task, 1);
  Ticket ticket = SampleTicket(*task, 1, 1000);
  ticket.evaluation = true;
  const auto rollout = simulator->Run(ticket);
  ASSERT_TRUE(rollout.ok()) << rollout.status();
  const Trajectory& trajectory = rollout->trajectories[0];
  EXPECT_EQ(trajectory.episode_ends, (std::vector<EpisodeEnd>{{999, End::kTimeLimit}}));
  EXPECT_TRUE(trajectory.log_probs.empty());
  std::vector<float> mean(task->action_size());
  ticket.policy->Mean(trajectory.observations.data(), mean.data());
  EXPECT_EQ(mean, std::vector<float>(trajectory.actions.begin(), trajectory.actions.begin() + 3));
  ASSERT_EQ(rollout->truths[0].episodes.size(), 1u);
  const Truth::Episode& episode = rollout->truths[0].episodes[0];
  EXPECT_EQ(episode.metrics.size(), task->metric_names().size());
  double sum = 0;
  for (const float reward : trajectory.true_rewards) sum += reward;
  EXPECT_NEAR(episode.true_return, sum, 1e-3 * (1 + std::abs(sum)));
}

TEST(Simulator, RefusesTicketsThatDoNotFitTheTask) {
  const auto task = Load("hopper_backflip_guided");
  auto simulator = StartOn(task, 1);
  Ticket ticket = SampleTicket(*task, 1, 0);
  EXPECT_EQ(simulator->Run(ticket).status().code(), absl::StatusCode::kInvalidArgument);
  ticket = SampleTicket(*task, 1, 10);
  ticket.environments[0].state = EnvironmentState{};
  EXPECT_EQ(simulator->Run(ticket).status().code(), absl::StatusCode::kInvalidArgument);
  ticket = SampleTicket(*task, 1, 10);
  ticket.environments[0].episode_step = -1;
  EXPECT_EQ(simulator->Run(ticket).status().code(), absl::StatusCode::kInvalidArgument);
  ticket = SampleTicket(*task, 0, 10);
  EXPECT_EQ(simulator->Run(ticket).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Simulator, CancelsItsTicketsWhenItStops) {
  const auto task = Load("hopper_backflip_guided");
  auto simulator = StartOn(task, 2);
  std::atomic<int> cancelled{0}, called{0};
  for (int i = 0; i < 5; ++i) {
    simulator->Submit(SampleTicket(*task, 3, 100000), [&](absl::StatusOr<Rollout> rollout) {
      ++called;
      if (absl::IsCancelled(rollout.status())) ++cancelled;
    });
  }
  simulator.reset();
  EXPECT_EQ(called, 5);
  EXPECT_EQ(cancelled, 5);
}

TEST(Simulator, ActsAtRandomWithoutAPolicy) {
  const auto task = Load("hopper");
  Ticket ticket = SampleTicket(*task, 1, 50);
  ticket.policy = nullptr;
  const auto rollout = StartOn(task, 1)->Run(ticket);
  ASSERT_TRUE(rollout.ok()) << rollout.status();
  for (const float action : rollout->trajectories[0].actions) {
    EXPECT_LE(std::abs(action), 1);
  }
}

}  // namespace
}  // namespace backflip::sim
