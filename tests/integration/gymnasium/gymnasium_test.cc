// The paper's eight tasks are Gymnasium's but for what the paper changed: from each state,
// Gymnasium itself gives the same next state, observation and reward.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/sim/task.h"

namespace backflip::sim {
namespace {

namespace fs = std::filesystem;

struct GymnasiumTask {
  const char* name;
  // Its actuators, whose actions are a0, a1, … in `reward`.
  std::vector<const char*> actuators;
  const char* quantities;  // that the task does not have
  // Gymnasium's own reward, all terms in it.
  const char* reward;
};

const GymnasiumTask kTasks[] = {
    {"reacher", {"joint0", "joint1"}, "", "-distance - a0^2 - a1^2"},
    {"swimmer", {"motor1", "motor2"}, "", "vx - 1e-4 * (a0^2 + a1^2)"},
    {"hopper",
     {"thigh", "leg", "foot"},
     "quantity { name: \"pitch\" joint { name: \"rooty\" field: POSITION } }",
     "vx + (z > 0.7 && abs(pitch) < 0.2) - 1e-3 * (a0^2 + a1^2 + a2^2)"},
    {"half_cheetah",
     {"bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"},
     "",
     "vx - 0.1 * (a0^2 + a1^2 + a2^2 + a3^2 + a4^2 + a5^2)"},
    {"walker2d",
     {"thigh", "leg", "foot", "thigh_left", "leg_left", "foot_left"},
     "quantity { name: \"pitch\" joint { name: \"rooty\" field: POSITION } }",
     "vx + (z > 0.8 && z < 2 && abs(pitch) < 1)"
     " - 1e-3 * (a0^2 + a1^2 + a2^2 + a3^2 + a4^2 + a5^2)"},
    {"ant",
     {"hip_1", "hip_2", "hip_3", "hip_4", "ankle_1", "ankle_2", "ankle_3", "ankle_4"},
     "",
     "vx + (z >= 0.2 && z <= 1)"
     " - 0.5 * (a0^2 + a1^2 + a2^2 + a3^2 + a4^2 + a5^2 + a6^2 + a7^2)"},
    {"inverted_pendulum", {}, "", "abs(angle) <= 0.2"},
    {"inverted_double_pendulum",
     {},
     "",
     "10 * (tip_z > 1) - 0.01 * tip_x^2 - (tip_z - 2)^2 - 0.001 * w1^2 - 0.005 * w2^2"},
};

std::string Read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string{std::istreambuf_iterator<char>(in), {}};
}

std::shared_ptr<const Task> Load(const fs::path& folder) {
  auto task = Task::FromFolder(folder);
  EXPECT_TRUE(task.ok()) << task.status();
  return task.ok() ? *task : nullptr;
}

// The task in `folder`, made anew in `to` with Gymnasium's reward.
std::shared_ptr<const Task> WithItsReward(const GymnasiumTask& its, const fs::path& folder,
                                          const fs::path& to) {
  std::string text = Read(folder / kTaskFile);
  std::string reward = its.quantities;
  for (size_t i = 0; i < its.actuators.size(); ++i) {
    absl::StrAppend(&reward, "\nquantity { name: \"a", i, "\" action { actuator: \"",
                    its.actuators[i], "\" } }");
  }
  absl::StrAppend(&reward, "\ntrue_reward: \"", its.reward, "\"");
  const size_t begin = text.find("true_reward:");
  text.replace(begin, text.find("\n\n", begin) - begin, reward);
  fs::create_directories(to);
  fs::copy_file(folder / "model.xml", to / "model.xml", fs::copy_options::overwrite_existing);
  std::ofstream(to / kTaskFile) << text;
  return Load(to);
}

class Gymnasium : public testing::TestWithParam<GymnasiumTask> {};

TEST_P(Gymnasium, StepsAlike) {
  const fs::path folder = fs::path(BACKFLIP_TASKS) / GetParam().name;
  const fs::path scratch = fs::path(testing::TempDir()) / "gymnasium_test" / GetParam().name;
  const auto task = Load(folder), with_its_reward = WithItsReward(GetParam(), folder, scratch);
  ASSERT_TRUE(task != nullptr && with_its_reward != nullptr);
  const auto ours = task->MakeEnvironment(), its = with_its_reward->MakeEnvironment();
  ASSERT_TRUE(ours.ok() && its.ok());

  nlohmann::json episodes = nlohmann::json::array();
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<double> state(task->state_size());  // time, qpos, qvel
  std::vector<float> observation(task->observation_size()), action(task->action_size());
  for (int seed = 0; seed < 3; ++seed) {
    ASSERT_TRUE((*ours)->Begin(seed, Environment::Purpose::kTraining).ok());
    ASSERT_TRUE((*its)->Begin(seed, Environment::Purpose::kTraining).ok());
    (*ours)->RecordState(state.data());
    nlohmann::json episode = {{"first_state", state}, {"steps", nlohmann::json::array()}};
    for (int step = 0; step < 150; ++step) {
      for (float& a : action) a = uniform(random);
      const auto result = (*ours)->Step(action.data());
      const auto its_result = (*its)->Step(action.data());
      ASSERT_TRUE(result.ok() && its_result.ok()) << result.status() << its_result.status();
      (*ours)->RecordState(state.data());
      (*ours)->Observe(observation.data());
      episode["steps"].push_back({{"action", action},
                                  {"state", state},
                                  {"observation", observation},
                                  {"reward", result->true_reward},
                                  {"its_reward", its_result->true_reward}});
    }
    episodes.push_back(std::move(episode));
  }
  const std::string file = scratch / "episodes.json";
  std::ofstream(file) << episodes;
  const std::string command = absl::StrCat(PYTHON, " ", SCRIPT, " ", GetParam().name, " ", file);
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
}

INSTANTIATE_TEST_SUITE_P(EightTasks, Gymnasium, testing::ValuesIn(kTasks),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace backflip::sim
