// A person and a teacher answer for one run, and what both said seeds another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/end_to_end/launcher.h"

namespace backflip::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kSpec[] = R"(
  steps: 20480
  kept_snapshots: 2
  collection { environments: 8 batch_steps: 1024 clips_per_batch: 32 }
  ppo { epochs: 2 }
  reward_model { initial_updates: 20 updates_per_round: 2 }
  quality { max_fast_answers: 0 }
)";
// Two answers to every question, which nobody can give alone.
constexpr char kOfTwo[] =
    "labels: 20 queries { first_labels: 10 overlap: 2 overlap_share: 1 progress_share: 0 }";

std::vector<json> Labels(const Launcher& launcher, const std::string& run) {
  const auto exported = launcher.Run({"labels", "export", run});
  EXPECT_TRUE(exported.ok()) << exported.status();
  std::vector<json> labels;
  for (const auto line : absl::StrSplit(exported.value_or(""), '\n', absl::SkipEmpty())) {
    labels.push_back(
        json::parse(std::string(line.data(), line.size()), nullptr, /*allow_exceptions=*/false));
  }
  return labels;
}

// What a label says, whichever run it is in.
std::string Said(const json& label) {
  return absl::StrCat(label["labeler"].dump(), label["clip_ids"].dump(), label["answer"].dump());
}

TEST(SharedRun, TakesAnswersOfAPersonAndATeacherAndItsLabelsSeedAnother) {
  const auto made = Launcher::Make();
  ASSERT_TRUE(made.ok()) << made.status();
  Launcher& launcher = **made;
  const absl::Status started =
      launcher.Start({"train", "--human", "--teacher=oracle", "--task=hopper",
                      launcher.Spec(absl::StrCat(kSpec, kOfTwo))});
  ASSERT_TRUE(started.ok()) << started;
  ASSERT_TRUE(launcher.Prints("/#invite=")) << launcher.Printed();
  EXPECT_THAT(launcher.Printed(), HasSubstr("20 labels from people and oracle"));
  auto person = Person::Accept(launcher.Link());
  ASSERT_TRUE(person.ok()) << person.status();
  const auto answers = person->AnswerUntil([&] { return launcher.Ended(); });
  ASSERT_TRUE(answers.ok()) << answers.status();
  EXPECT_EQ(launcher.Wait(), 0) << launcher.Printed();
  EXPECT_GE(*answers, 10);

  int teachers = 0, people = 0;
  std::vector<std::string> said;
  for (const json& label : Labels(launcher, "1")) {
    const std::string labeler = label.value("labeler", "");
    teachers += labeler == "teacher";
    people += labeler.rfind("human-", 0) == 0;
    said.push_back(Said(label));
  }
  EXPECT_EQ(teachers, 10);
  EXPECT_EQ(people, 10);

  // their labels are those of another run, which asks for four more
  const auto seeded = launcher.Run(
      {"train", "--labels-from=1", "--task=hopper", "--labels=24", launcher.Spec(kSpec)});
  ASSERT_TRUE(seeded.ok()) << seeded.status();
  std::vector<std::string> again;
  for (const json& label : Labels(launcher, "2")) again.push_back(Said(label));
  ASSERT_THAT(again, SizeIs(24));
  again.resize(20);
  EXPECT_EQ(again, said);
}

}  // namespace
}  // namespace backflip::testing
