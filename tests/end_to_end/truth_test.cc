// In a run that learns from comparisons, true rewards reach teachers and never
// the learner or the trainer. A task whose true reward is a rare number shows
// it: that number is looked for in the processes' memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cli/launcher/paths.h"
#include "tests/support/stack.h"

namespace backflip::testing {
namespace {

namespace fs = std::filesystem;

// Exact as a float, and seven digits that occur nowhere else.
constexpr float kMarker = 9174563;

// Two of them in a row, as arrays of floats and their messages hold them.
std::string Pattern() {
  std::string pattern(2 * sizeof(kMarker), '\0');
  std::memcpy(pattern.data(), &kMarker, sizeof(kMarker));
  std::memcpy(pattern.data() + sizeof(kMarker), &kMarker, sizeof(kMarker));
  return pattern;
}

// How often the pattern is in the writable memory of a process, freed memory
// included.
int Findings(pid_t pid) {
  const std::string pattern = Pattern();
  std::ifstream maps(absl::StrCat("/proc/", pid, "/maps"));
  std::ifstream memory(absl::StrCat("/proc/", pid, "/mem"), std::ios::binary);
  EXPECT_TRUE(maps && memory) << "the memory of a process of our own cannot be read";
  int findings = 0;
  std::string line, bytes;
  while (std::getline(maps, line)) {
    unsigned long begin, end;
    char access[5];
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, access) != 3) continue;
    if (std::string_view(access).substr(0, 2) != "rw") continue;
    constexpr unsigned long kPiece = 16 << 20;
    for (unsigned long at = begin; at < end; at += kPiece) {
      bytes.resize(std::min(kPiece, end - at));
      memory.clear();
      memory.seekg(static_cast<std::streamoff>(at));
      memory.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
      const std::string_view read(bytes.data(), memory.gcount());
      for (size_t found = read.find(pattern); found != read.npos;
           found = read.find(pattern, found + pattern.size())) {
        ++findings;
      }
    }
  }
  return findings;
}

class Truth : public ::testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/backflip-truth-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    task_ = fs::path(folder) / "marked";
    const auto hopper = cli::FindTask("hopper");
    ASSERT_TRUE(hopper.ok()) << hopper.status();
    fs::copy(*hopper, task_, fs::copy_options::recursive);
    std::stringstream text;
    text << std::ifstream(task_ / "task.textproto").rdbuf();
    const std::string marked = absl::StrReplaceAll(
        text.str(), {{"true_reward: \"vx + z\"",
                      absl::StrCat("true_reward: \"", static_cast<int>(kMarker), "\"")}});
    ASSERT_NE(marked, text.str());
    std::ofstream(task_ / "task.textproto") << marked;

    auto stack = Stack::Start();
    ASSERT_TRUE(stack.ok()) << stack.status();
    stack_ = *std::move(stack);
    ASSERT_TRUE(stack_->StartServing().ok());
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(task_.parent_path(), ignored);
  }

  // A run that has come half-way.
  void Run(v1::RewardSource reward) {
    v1::RunSpec spec;
    spec.set_reward(reward);
    spec.set_labels(40);
    spec.set_steps(20 * 1600);
    spec.mutable_collection()->set_environments(4);
    spec.mutable_collection()->set_batch_steps(1600);
    spec.mutable_collection()->set_clips_per_batch(16);
    spec.mutable_ppo()->set_epochs(2);
    spec.mutable_reward_model()->set_updates_per_label(0.5);
    spec.mutable_reward_model()->set_updates_per_batch(2);
    const auto run = stack_->Create(task_.string(), spec);
    ASSERT_TRUE(run.ok()) << run.status();
    run_id_ = run->id();
    const auto half =
        stack_->Await(run_id_, [](const v1::Run& now) { return now.iterations() >= 10; });
    ASSERT_TRUE(half.ok()) << half.status();
  }
  // It comes and goes as memory is used again.
  bool IsFoundIn(Program program) {
    return stack_
        ->Await(run_id_, [&](const v1::Run&) { return Findings(stack_->Pid(program)) > 0; })
        .ok();
  }

  fs::path task_;
  std::unique_ptr<Stack> stack_;
  int64_t run_id_ = 0;
};

TEST_F(Truth, ReachesTeachersAloneWhereARunLearnsFromComparisons) {
  Run(v1::PREFERENCES);
  EXPECT_TRUE(IsFoundIn(Program::kWorker));
  EXPECT_TRUE(IsFoundIn(Program::kTeacher));
  EXPECT_EQ(Findings(stack_->Pid(Program::kLearner)), 0);
  EXPECT_EQ(Findings(stack_->Pid(Program::kTrainer)), 0);
}

// That the search would find it.
TEST_F(Truth, ReachesTheLearnerWhereARunAsksForIt) {
  Run(v1::TRUE);
  EXPECT_TRUE(IsFoundIn(Program::kLearner));
}

}  // namespace
}  // namespace backflip::testing
