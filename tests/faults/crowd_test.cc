// A broker that is killed under a hundred labelers.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/retry.h"
#include "common/rpc/status.h"
#include "tests/support/await.h"
#include "tests/support/stack.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;

constexpr int kLabelers = 100;
constexpr int kQuestions = 1200;
constexpr int kKills = 3;

// Answers until there is nothing to ask; returns how many answers were acknowledged.
void Label(const std::string& address, const std::string& token, std::atomic<int>* acknowledged) {
  const rpc::Client client(address, token);
  const auto stub = v1::LabelingService::NewStub(client.channel());
  while (*acknowledged < kQuestions) {
    v1::LeaseRequest lease;
    lease.set_wait_ms(500);
    v1::LeaseResponse leased;
    const absl::Status status = base::Retry({}, nullptr, [&] {
      return rpc::FromGrpc(stub->Lease(client.UnaryContext().get(), lease, &leased));
    });
    ASSERT_TRUE(status.ok()) << status;
    for (const v1::Question& question : leased.questions()) {
      v1::SubmitRequest submit;
      submit.set_lease_id(question.lease_id());
      submit.set_idempotency_key(NewId());
      submit.mutable_answer()->set_choice(v1::LEFT);
      const absl::Status taken = base::Retry({}, nullptr, [&] {
        v1::SubmitResponse response;
        return rpc::FromGrpc(stub->Submit(client.UnaryContext().get(), submit, &response));
      });
      ASSERT_TRUE(taken.ok()) << taken;
      ++*acknowledged;
    }
  }
}

// A run with questions, and a token for each labeler.
std::vector<std::string> Prepare(const std::string& database) {
  preference_broker::BrokerOptions options;
  options.database = database;
  TestBroker broker(options);
  const int64_t run_id =
      broker
          .CreateRun(absl::StrCat("lockstep: false labels: ", kQuestions,
                                  " quality { max_cannot_tells: 0 max_one_sided: 0 }"))
          .id();
  broker.Claim(Role::kLearner);
  const int64_t epoch = broker.Claim(Role::kTrainer).epoch();
  constexpr int kRound = 100;
  for (int round = 0; round < kQuestions / kRound; ++round) {
    const auto opened = broker.Open(run_id, epoch, round, broker.Upload(run_id, round, 2 * kRound));
    EXPECT_TRUE(opened.ok()) << opened.status();
  }
  std::vector<std::string> tokens;
  for (int i = 0; i < kLabelers; ++i) {
    tokens.push_back(broker.Token(Role::kLabeler, absl::StrCat("labeler-", i)));
  }
  return tokens;
}

TEST(Crowd, LosesAndDoublesNoAnswerWhenTheBrokerIsKilled) {
  const std::string database = MigratedDatabase();
  const std::vector<std::string> tokens = Prepare(database);
  auto started = Stack::Start({.database = database});
  ASSERT_TRUE(started.ok()) << started.status();
  Stack& stack = **started;
  std::atomic<int> acknowledged{0};
  std::vector<std::thread> labelers;
  for (const std::string& token : tokens) {
    labelers.emplace_back(Label, absl::StrCat("unix:", stack.folder(), "/broker.sock"), token,
                          &acknowledged);
  }
  for (int i = 1; i <= kKills; ++i) {
    EXPECT_TRUE(Await([&] { return acknowledged >= i * kQuestions / (kKills + 1); }))
        << acknowledged;
    stack.Kill(Program::kBroker);
    ASSERT_TRUE(stack.StartProgram(Program::kBroker).ok());
  }
  for (std::thread& labeler : labelers) labeler.join();
  EXPECT_EQ(acknowledged, kQuestions);
  EXPECT_EQ(
      stack.Sql("SELECT count(*), count(DISTINCT question_id), count(DISTINCT caller_id) > 50 "
                "FROM labels"),
      absl::StrCat(kQuestions, "|", kQuestions, "|t"));
}

}  // namespace
}  // namespace backflip::testing
