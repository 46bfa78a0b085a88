// `backflip train --human` as a person meets it: a link, a pair, answers that move
// the policy, an interruption, another day, and an end when they have had enough.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/end_to_end/launcher.h"
#include "tests/support/await.h"

namespace backflip::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A label earns the steps of a batch.
constexpr char kSpec[] = R"(
  kept_snapshots: 2
  collection { environments: 8 batch_steps: 1024 clips_per_batch: 32 }
  ppo { epochs: 2 }
  reward_model { updates_per_label: 0.5 updates_per_batch: 2 }
  quality { max_fast_answers: 0 }
)";

class Human : public ::testing::Test {
 protected:
  void SetUp() override {
    auto launcher = Launcher::Make();
    ASSERT_TRUE(launcher.ok()) << launcher.status();
    launcher_ = *std::move(launcher);
  }

  int64_t Number(const std::string& query) const {
    int64_t number = -1;
    const std::string text = launcher_->Sql(query);
    EXPECT_TRUE(absl::SimpleAtoi(text, &number)) << text;
    return number;
  }
  int64_t Steps() const { return Number("SELECT steps FROM runs WHERE id = 1"); }
  int64_t Labels() const { return Number("SELECT count(*) FROM labels WHERE counts"); }

  // Starts the command, and the person whom its link invites.
  absl::StatusOr<Person> Start(const std::vector<std::string>& words) {
    const absl::Status started = launcher_->Start(words);
    if (!started.ok()) return started;
    // the last of what it prints before it waits for people
    if (!launcher_->Prints("/#invite=")) return absl::InternalError(launcher_->Printed());
    return Person::Accept(launcher_->Link());
  }
  void StopAsking() {
    const auto stopped = launcher_->Run({"run", "stop-asking", "1"});
    ASSERT_TRUE(stopped.ok()) << stopped.status();
    EXPECT_EQ(launcher_->Wait(), 0) << launcher_->Printed();
    EXPECT_THAT(launcher_->Printed(), HasSubstr("learned behaviour"));
  }

  std::unique_ptr<Launcher> launcher_;
};

TEST_F(Human, AnswersGoesOnAnotherDayAndStopsWhenItIsEnough) {
  auto person = Start({"train", "--human", "--task=hopper",
                       launcher_->Spec(absl::StrCat(kSpec, "labels: 60 steps: 61440"))});
  ASSERT_TRUE(person.ok()) << person.status();
  // whoever reads the terminal, or its log, gets no more than a labeler's access
  EXPECT_THAT(launcher_->Printed(), Not(HasSubstr("/dashboard#invite=")));
  absl::Status answered = person->Answer(1);
  ASSERT_TRUE(answered.ok()) << answered;
  EXPECT_TRUE(launcher_->Prints("waiting for labels")) << launcher_->Printed();
  const int64_t before = Steps();
  // enough for a first ensemble
  answered = person->Answer(32);
  ASSERT_TRUE(answered.ok()) << answered;
  EXPECT_TRUE(Await([&] { return Steps() > before; })) << "steps stay at " << before;

  launcher_->Interrupt();
  EXPECT_EQ(launcher_->Wait(), 130);
  EXPECT_THAT(launcher_->Printed(), HasSubstr("--continue 1"));

  const auto same_person = Start({"train", "--human", "--continue"});
  ASSERT_TRUE(same_person.ok()) << same_person.status();
  StopAsking();

  // and what was learned is where another run begins
  const auto fork = launcher_->Run(
      {"run", "fork",
       absl::StrCat("1@", launcher_->Sql("SELECT best_version FROM runs WHERE id = 1"))});
  ASSERT_TRUE(fork.ok()) << fork.status();
  EXPECT_THAT(*fork, HasSubstr("train --continue 2"));
}

TEST_F(Human, GoesOnAskingAfterItWasStopped) {
  auto person = Start({"train", "--human", "--task=hopper",
                       launcher_->Spec(absl::StrCat(
                           kSpec, "labels: 12 steps: 12288 queries { first_labels: 6 }"))});
  ASSERT_TRUE(person.ok()) << person.status();
  absl::Status answered = person->Answer(8);
  ASSERT_TRUE(answered.ok()) << answered;
  StopAsking();
  const int64_t labels = Labels(), steps = Steps();
  EXPECT_LT(labels, 12);

  // refused before the run is touched
  const auto refused = launcher_->Run({"train", "--continue", "--labels=+4", "--teacher=wizard"});
  EXPECT_THAT(refused.status().message(), HasSubstr("--teacher is 'wizard'"));
  EXPECT_EQ(launcher_->Sql("SELECT state, asking_stopped FROM runs WHERE id = 1"), "FINISHED|t");

  person = Start({"train", "--human", "--continue", "--labels=+4"});
  ASSERT_TRUE(person.ok()) << person.status();
  const auto more = person->AnswerUntil([&] { return launcher_->Ended(); });
  ASSERT_TRUE(more.ok()) << more.status();
  EXPECT_EQ(launcher_->Wait(), 0) << launcher_->Printed();
  // those that had not been asked, and four
  EXPECT_EQ(Labels(), 12 + 4);
  EXPECT_GT(Steps(), steps);
  EXPECT_EQ(launcher_->Sql("SELECT state, asking_stopped FROM runs WHERE id = 1"), "FINISHED|f");
}

}  // namespace
}  // namespace backflip::testing
