// `backflip train` as a newcomer runs it, on a small budget: what is learned
// from comparisons must be better, by a wide margin, than where it began.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/launcher/paths.h"
#include "cli/launcher/private_postgres.h"
#include "cli/launcher/subprocess.h"

namespace backflip {
namespace {

using ::testing::HasSubstr;

// 20 batches, after each of which the policy is kept and evaluated. In lockstep
// the first batch changes nothing: the policy of iteration 1 is the initial one.
constexpr char kSpec[] = R"(
  seed: 1
  labels: 100
  steps: 81920
  kept_snapshots: 20
  collection { environments: 8 batch_steps: 4096 clips_per_batch: 64 }
  ppo { epochs: 10 minibatch_steps: 256 }
  reward_model { updates_per_label: 2 updates_per_batch: 8 }
  queries { schedule: UNIFORM initial_share: 0.5 asked_by: 0.6 }
)";

class Train : public ::testing::Test {
 protected:
  void SetUp() override {
    auto postgres = cli::PrivatePostgres::StartTemporary();
    ASSERT_TRUE(postgres.ok()) << postgres.status();
    postgres_ = *std::move(postgres);
    char folder[] = "/tmp/backflip-train-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
  }
  void TearDown() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  double Value(const std::string& query) {
    const auto text = cli::Run({.argv = {"psql", "-XAtc", query, postgres_->url()}});
    EXPECT_TRUE(text.ok()) << text.status();
    double value = 0;
    EXPECT_TRUE(text.ok() && absl::SimpleAtod(*text, &value)) << query;
    return value;
  }
  double Metric(const std::string& name, int64_t iteration) {
    return Value(absl::StrCat("SELECT value FROM metric_points WHERE name = '", name,
                              "' AND iteration = ", iteration));
  }

  std::unique_ptr<cli::PrivatePostgres> postgres_;
  std::filesystem::path folder_;
};

TEST_F(Train, ImprovesTrueAndPredictedReturnFromComparisons) {
  std::ofstream(folder_ / "spec.textproto") << kSpec;
  const auto output =
      cli::Run({.argv = {cli::ProgramPath("backflip"), "train", "--task=hopper",
                         absl::StrCat("--spec=", (folder_ / "spec.textproto").string()),
                         absl::StrCat("--database-url=", postgres_->url()),
                         absl::StrCat("--data=", (folder_ / "data").string()),
                         absl::StrCat("--json=", (folder_ / "result.json").string())}});
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_THAT(*output, HasSubstr("true return"));

  std::ifstream file(folder_ / "result.json");
  const auto result = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result.value("task", ""), "hopper");
  EXPECT_EQ(result.value("labels", 0), 100);
  EXPECT_EQ(result.value("steps", 0), 81920);
  EXPECT_GT(result.value("steps_per_second", 0.0), 0);
  EXPECT_GT(result.value("reward_accuracy", 0.0), 0.6);

  // a hopper that only falls down has 200 to 400, these policies 1,100 to 1,300
  EXPECT_GT(result.value("true_return", 0.0), Metric("true_return", 1) + 400) << *output;
  // all scored by the last ensemble, whose rewards have deviation 1 a step
  const double predicted =
      Value("SELECT max(value) FROM metric_points WHERE name = 'predicted_return'");
  EXPECT_GT(predicted, Metric("predicted_return", 1) + 200) << *output;

  // the budget was spent to the last label, each question asked once
  EXPECT_EQ(Value("SELECT count(*) FROM labels WHERE counts"), 100);
  EXPECT_EQ(Value("SELECT count(DISTINCT question_id) FROM labels"), 100);
  // and what newcomers look at is there
  int pictures = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ / "data")) {
    pictures += entry.path().extension() == ".svg" || entry.path().extension() == ".gif";
  }
  EXPECT_EQ(pictures, 2);
}

}  // namespace
}  // namespace backflip
