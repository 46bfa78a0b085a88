// The loop in one process, by which settings are found, is worth what it says
// about the services only as long as both make the same run of the same seed.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "cli/launcher/paths.h"
#include "cli/launcher/subprocess.h"
#include "tests/end_to_end/launcher.h"

namespace backflip::testing {
namespace {

// Episodes begin and end, in the third batch one step before its end, latches are carried
// on, the pool overflows, and pairs are chosen by disagreement. The teacher errs, ties and
// cannot tell; there are rounds enough to ask again. $0 and $1: more of two messages; $2: steps.
constexpr char kSpec[] = R"(
  seed: 3
  labels: 60
  steps: $2
  kept_snapshots: 4
  collection { environments: 4 batch_steps: 668 clips_per_batch: 32 initial_episode_share: 1 $0 }
  ppo { epochs: 4 minibatch_steps: 256 }
  reward_model { updates_per_label: 2 updates_per_batch: 4 $1 }
  queries { pool: 100 asked_by: 0.8 $3 }
)";

// Asks both for the run, and compares the true returns of their results.
void ExpectTheSameRun(const std::string& text) {
  const auto launcher = Launcher::Make();
  ASSERT_TRUE(launcher.ok()) << launcher.status();
  const std::string spec = (*launcher)->Spec(text);
  const std::string json = ((*launcher)->folder() / "result.json").string();
  const auto services = (*launcher)->Run({"train", "--task=hopper_backflip_guided",
                                          "--teacher=casual", spec, absl::StrCat("--json=", json)});
  ASSERT_TRUE(services.ok()) << services.status();
  std::ifstream file(json);
  const auto result = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(result.is_object());

  const auto task = cli::FindTask("hopper_backflip_guided");
  ASSERT_TRUE(task.ok()) << task.status();
  const auto loop = cli::Run({.argv = {cli::ProgramPath("learning_loop"),
                                       absl::StrCat("--task=", *task), "--teachers=casual", spec}});
  ASSERT_TRUE(loop.ok()) << loop.status();
  const std::string before = "final: seed 3 labels 60 true ";
  const size_t at = loop->find(before);
  ASSERT_NE(at, std::string::npos) << *loop;
  const size_t begin = at + before.size();
  double true_return = 0;
  ASSERT_TRUE(absl::SimpleAtod(loop->substr(begin, loop->find(' ', begin) - begin), &true_return));
  EXPECT_NEAR(true_return, result.value("true_return", 0.0), 1e-3) << *loop;
}

TEST(LearningLoop, MakesTheRunThatTheServicesMakeOfTheSameSeed) {
  ExpectTheSameRun(absl::Substitute(kSpec, "", "", 48 * 668, ""));
}

TEST(LearningLoop, MakesTheRunThatTheServicesMakeWithAllThatIsOffByDefault) {
  ExpectTheSameRun(absl::Substitute(kSpec, "restart_share: 0.6 novelty: true",
                                    "deviation_bonus: 0.5 final_deviation_bonus: -0.5", 16 * 668,
                                    "winners_share: 0.5"));
}

TEST(LearningLoop, MakesTheRunThatTheServicesMakeOfTrueReturns) {
  ExpectTheSameRun(absl::Substitute(kSpec, "", "target: TRUE_RETURNS", 16 * 668, ""));
}

TEST(LearningLoop, TeachesByRubricAndLetsTheNewestPolicyPlayAgainstTheFirst) {
  const auto launcher = Launcher::Make();
  ASSERT_TRUE(launcher.ok()) << launcher.status();
  const auto task = cli::FindTask("quadruped_wave");  // has no true reward
  ASSERT_TRUE(task.ok()) << task.status();
  const std::string spec = (*launcher)->Spec(R"(
    labels: 20
    steps: 8000
    kept_snapshots: 1
    collection { environments: 4 batch_steps: 2000 clips_per_batch: 8 initial_episode_share: 1 }
    ppo { epochs: 1 }
  )");
  const auto play = [&](const std::string& teacher) {
    return cli::Run({.argv = {cli::ProgramPath("learning_loop"), absl::StrCat("--task=", *task),
                              absl::StrCat("--teachers=", teacher), spec}});
  };
  const auto taught = play("rubric");
  ASSERT_TRUE(taught.ok()) << taught.status();
  int wins = -1, clips = 0, ties = -1;
  const size_t at = taught->find("the newest policy wins");
  ASSERT_NE(at, std::string::npos) << *taught;
  std::sscanf(taught->c_str() + at,
              "the newest policy wins %d of %d clips against the first, %d ties", &wins, &clips,
              &ties);
  EXPECT_EQ(clips, 100);
  EXPECT_TRUE(wins >= 0 && ties >= 0 && wins + ties <= clips) << *taught;

  const auto refused = play("oracle");
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.status().message().find("has no true reward"), std::string::npos)
      << refused.status();
}

TEST(LearningLoop, NamesTheOptionThatItDoesNotDo) {
  const auto launcher = Launcher::Make();
  ASSERT_TRUE(launcher.ok()) << launcher.status();
  const auto task = cli::FindTask("hopper_backflip_guided");
  ASSERT_TRUE(task.ok()) << task.status();
  const auto loop =
      cli::Run({.argv = {cli::ProgramPath("learning_loop"), absl::StrCat("--task=", *task),
                         (*launcher)->Spec("queries { clips_per_question: 4 }")}});
  ASSERT_FALSE(loop.ok());
  EXPECT_NE(loop.status().message().find("queries.clips_per_question"), std::string::npos)
      << loop.status();
}

}  // namespace
}  // namespace backflip::testing
