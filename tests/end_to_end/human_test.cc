// `backflip train --human` as a person meets it: a link, a pair, answers that move
// the policy, an interruption, another day, and an end when they have had enough.
#include <signal.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "backflip/v1/label.grpc.pb.h"
#include "backflip/v1/people.grpc.pb.h"
#include "common/base/random.h"
#include "services/cli/operator.h"
#include "services/cli/paths.h"
#include "services/cli/private_postgres.h"
#include "services/cli/subprocess.h"

namespace backflip {
namespace {

using ::testing::HasSubstr;
using v1::LabelingService;

constexpr char kSpec[] = R"(
  labels: 60
  steps: 122880
  kept_snapshots: 3
  collection { environments: 8 batch_steps: 2048 clips_per_batch: 64 }
  reward_model { initial_updates: 40 updates_per_round: 4 }
)";
constexpr absl::Duration kPatience = absl::Minutes(2);

class Human : public ::testing::Test {
 protected:
  void SetUp() override {
    auto postgres = cli::PrivatePostgres::StartTemporary();
    ASSERT_TRUE(postgres.ok()) << postgres.status();
    postgres_ = *std::move(postgres);
    char folder[] = "/tmp/backflip-human-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    std::ofstream(folder_ / "spec.textproto") << kSpec;
  }
  void TearDown() override {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  std::vector<std::string> Command(std::vector<std::string> words) const {
    words.insert(words.begin(), cli::ProgramPath("backflip"));
    words.push_back(absl::StrCat("--data=", (folder_ / "data").string()));
    words.push_back(absl::StrCat("--database=", postgres_->url()));
    return words;
  }

  // Starts the launcher; what it prints is in Printed().
  void Launch(std::vector<std::string> words) {
    log_ = (folder_ / absl::StrCat("output", ++launches_)).string();
    const auto pid = cli::Spawn({.argv = Command(std::move(words)), .log_file = log_});
    ASSERT_TRUE(pid.ok()) << pid.status();
    pid_ = *pid;
  }
  std::string Printed() const {
    std::stringstream text;
    text << std::ifstream(log_).rdbuf();
    return text.str();
  }
  bool Prints(const std::string& text) const {
    const absl::Time give_up = absl::Now() + kPatience;
    while (!absl::StrContains(Printed(), text)) {
      if (absl::Now() > give_up || waitpid(pid_, nullptr, WNOHANG) != 0) return false;
      absl::SleepFor(absl::Milliseconds(20));
    }
    return true;
  }
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  // Presses Start behind the printed link.
  std::unique_ptr<cli::Operator> Accept() {
    const std::string printed = Printed();
    const size_t begin = printed.find("/#invite=") + 9;
    v1::AcceptInviteRequest request;
    request.set_secret(printed.substr(begin, printed.find_first_of("&\n", begin) - begin));
    request.set_request_id(base::RandomHex128());
    const std::string address = cli::BrokerAddress((folder_ / "data").string());
    const auto accepted = cli::Operator(rpc::Client(address, ""), nullptr)
                              .Call<v1::PeopleService>(&v1::PeopleService::Stub::AcceptInvite, request);
    EXPECT_TRUE(accepted.ok()) << accepted.status();
    EXPECT_TRUE(!accepted.ok() || accepted->role() == v1::INVITE_LABELER);
    return std::make_unique<cli::Operator>(
        rpc::Client(address, accepted.ok() ? accepted->token() : ""), nullptr);
  }

  // Answers until so many are given; empty questions of a while are waited for.
  void Answer(const cli::Operator& person, int count) {
    const absl::Time give_up = absl::Now() + kPatience;
    while (count > 0) {
      ASSERT_LT(absl::Now(), give_up) << "waiting for pairs: " << Printed();
      v1::LeaseRequest lease;
      lease.set_wait_ms(2000);
      const auto got = person.Call<LabelingService>(&LabelingService::Stub::Lease, lease);
      ASSERT_TRUE(got.ok()) << got.status();
      for (const v1::Question& question : got->questions()) {
        EXPECT_EQ(question.scene_hash().size(), 64);
        v1::SubmitRequest answer;
        answer.set_lease_id(question.lease_id());
        answer.set_idempotency_key(base::RandomHex128());
        answer.mutable_answer()->set_choice(count % 2 == 0 ? v1::LEFT : v1::RIGHT);
        // as long as a clip, for whoever checks
        answer.mutable_timing()->set_decision_ms(4000);
        answer.mutable_timing()->set_active_ms(4000);
        answer.mutable_timing()->set_loops(2);
        const auto label = person.Call<LabelingService>(&LabelingService::Stub::Submit, answer);
        ASSERT_TRUE(label.ok()) << label.status();
        --count;
      }
    }
  }

  v1::Run Get() {
    const auto token = rpc::ReadTokenFile((folder_ / "data/tokens/operator.token").string());
    EXPECT_TRUE(token.ok()) << token.status();
    return cli::Operator(rpc::Client(cli::BrokerAddress((folder_ / "data").string()), *token), nullptr)
        .Get(1)
        .value_or(v1::Run());
  }

  std::unique_ptr<cli::PrivatePostgres> postgres_;
  std::filesystem::path folder_;
  std::string log_;
  int launches_ = 0;
  pid_t pid_ = 0;
};

TEST_F(Human, AnswersGoesOnAnotherDayAndStopsWhenItIsEnough) {
  Launch({"train", "--human", "--task=hopper", absl::StrCat("--spec=", (folder_ / "spec.textproto").string())});
  ASSERT_TRUE(Prints("/dashboard#invite=")) << Printed();
  const absl::Time ready = absl::Now();
  const auto person = Accept();
  Answer(*person, 1);
  EXPECT_LT(absl::Now() - ready, absl::Seconds(10)) << "until the first pair";
  EXPECT_TRUE(Prints("waiting for labels")) << Printed();
  const int64_t before = Get().steps();
  // enough for a first ensemble
  Answer(*person, 32);
  const absl::Time give_up = absl::Now() + kPatience;
  while (Get().steps() <= before && absl::Now() < give_up) absl::SleepFor(absl::Milliseconds(100));
  EXPECT_GT(Get().steps(), before);

  kill(pid_, SIGINT);
  EXPECT_EQ(Wait(), 130);
  EXPECT_THAT(Printed(), HasSubstr("--continue 1"));

  Launch({"train", "--human", "--continue"});
  ASSERT_TRUE(Prints("/dashboard#invite=")) << Printed();
  const auto same_person = Accept();
  Answer(*same_person, 2);
  const auto stopped = cli::Run({.argv = Command({"run", "stop-asking", "1"})});
  ASSERT_TRUE(stopped.ok()) << stopped.status();
  EXPECT_EQ(Wait(), 0) << Printed();
  EXPECT_THAT(Printed(), HasSubstr("learned behaviour"));

  // and what was learned is where another run begins
  const auto best =
      cli::Run({.argv = {"psql", "-XAtc", "SELECT best_version FROM runs WHERE id = 1", postgres_->url()}});
  ASSERT_TRUE(best.ok()) << best.status();
  const auto fork = cli::Run({.argv = Command({"run", "fork", absl::StrCat("1@", absl::StripAsciiWhitespace(*best))})});
  ASSERT_TRUE(fork.ok()) << fork.status();
  EXPECT_THAT(*fork, HasSubstr("train --continue 2"));
}

}  // namespace
}  // namespace backflip
