// `backflip experiment`: a grid of short runs, interrupted and gone on with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/end_to_end/launcher.h"

namespace backflip::testing {
namespace {

using ::testing::HasSubstr;

constexpr char kGrid[] = R"(
  task: "hopper"
  seed: [201, 202]
  spec {
    labels: 12 steps: 8192 kept_snapshots: 2
    collection { environments: 4 batch_steps: 1024 clips_per_batch: 16 }
  }
  arm { name: "learned" }
  arm { name: "true" spec { reward: TRUE } }
  measure: "true_return"
  baseline: "true"
)";

class Experiment : public ::testing::Test {
 protected:
  void SetUp() override {
    auto launcher = Launcher::Make();
    ASSERT_TRUE(launcher.ok()) << launcher.status();
    launcher_ = *std::move(launcher);
    file_ = (launcher_->folder() / "small.textproto").string();
    Write(kGrid);
  }
  void Write(const std::string& text) { std::ofstream(file_) << text; }

  std::unique_ptr<Launcher> launcher_;
  std::string file_;
};

TEST_F(Experiment, GoesOnWhereItWasInterruptedAndTabulatesEveryRunOnce) {
  ASSERT_TRUE(launcher_->Start({"experiment", file_}).ok());
  ASSERT_TRUE(launcher_->Prints("run 2 of 4")) << launcher_->Printed();
  launcher_->Interrupt();
  EXPECT_NE(launcher_->Wait(), 0);
  // the second one may end before the interruption is noticed
  const std::string finished = launcher_->Sql("SELECT count(*) FROM runs WHERE state = 'FINISHED'");
  EXPECT_TRUE(finished == "1" || finished == "2") << finished;

  const auto output = launcher_->Run({"experiment", file_});
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(launcher_->Sql("SELECT count(*) FROM runs WHERE state = 'FINISHED'"), "4");
  EXPECT_EQ(launcher_->Sql("SELECT count(*) FROM runs"), "4");
  EXPECT_THAT(*output, HasSubstr("| hopper | learned | 2 |"));
  EXPECT_THAT(*output, HasSubstr("| hopper | true | 2 |"));

  // finished runs are only read again
  const auto again = launcher_->Run({"experiment", file_});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(launcher_->Sql("SELECT count(*) FROM runs"), "4");
}

TEST_F(Experiment, RefusesToGoOnWithOtherOptions) {
  Write(absl::StrReplaceAll(kGrid, {{"[201, 202]", "[201]"}, {"arm { name: \"learned\" }", ""}}));
  ASSERT_TRUE(launcher_->Run({"experiment", file_}).ok());
  Write(absl::StrReplaceAll(
      kGrid, {{"[201, 202]", "[201]"}, {"arm { name: \"learned\" }", ""}, {"8192", "9216"}}));
  const auto refused = launcher_->Run({"experiment", file_});
  EXPECT_THAT(refused.status().ToString(),
              HasSubstr("small was begun with other options, or another task, for hopper, true, "
                        "seed 201"));
  EXPECT_EQ(launcher_->Sql("SELECT count(*) FROM runs"), "1");
}

TEST_F(Experiment, RefusesATypoBeforeAnythingStarts) {
  const auto refusal = [&](const std::string& from, const std::string& to) {
    Write(absl::StrReplaceAll(kGrid, {{from, to}}));
    return launcher_->Run({"experiment", file_}).status().ToString();
  };
  EXPECT_THAT(refusal("labels: 12", "lables: 12"), HasSubstr("small.textproto:5:"));
  EXPECT_THAT(refusal("true_return", "true_retrun"), HasSubstr("measure is 'true_retrun'; the"));
  EXPECT_THAT(refusal("baseline: \"true\"", "baseline: \"tru\""), HasSubstr("the arms are"));
  EXPECT_THAT(refusal("environments: 4", "environments: 0"), HasSubstr("environments is 0"));
  EXPECT_THAT(refusal("\"learned\"", "\"learned\" teacher: \"orcale\""), HasSubstr("orcale"));
  EXPECT_THAT(refusal("task: \"hopper\"", "task: \"hoper\""), HasSubstr("hoper"));
}

}  // namespace
}  // namespace backflip::testing
