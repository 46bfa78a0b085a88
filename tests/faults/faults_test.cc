// Each process of a run is killed in its middle, stopped and resumed, and PostgreSQL restarted,
// taken away, frozen, restored from a backup, and its clock set: the run then goes on from its last
// checkpoint to the same end as one that was left alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "backflip/v1/collect.grpc.pb.h"
#include "cli/launcher/subprocess.h"
#include "common/rpc/client.h"
#include "common/rpc/collect_token.h"
#include "tests/faults/disturbed_run.h"

namespace backflip::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Faults : public DisturbedRun {
 protected:
  static void SetUpTestSuite() { StartStack({}); }

  std::string ClaimOf(const std::string& role) const {
    return absl::StrCat(" FROM claims WHERE role = '", role, "' AND run_id = ", run_id_);
  }
  // Stops a program where it stands, until another one has taken its run over and come further.
  // The old one wakes up then, and finds out.
  void LetAnotherTakeOver(Program old, Program another, const std::string& role) {
    const size_t log_size = stack_->Log(old).size();
    const int64_t epoch = Number("SELECT epoch" + ClaimOf(role));
    ASSERT_EQ(kill(stack_->Pid(old), SIGSTOP), 0);
    // nobody waits for longer than that
    EXPECT_LE(Number("SELECT ceil(extract(epoch FROM expires_at - now()))" + ClaimOf(role)), 10);
    Restart(another);
    const auto taken = stack_->Await(
        run_id_, [&](const v1::Run&) { return Number("SELECT epoch" + ClaimOf(role)) > epoch; });
    EXPECT_TRUE(taken.ok()) << taken.status();
    ASSERT_EQ(kill(stack_->Pid(old), SIGCONT), 0);
    const auto noticed = stack_->Await(run_id_, [&](const v1::Run&) {
      return ::testing::Value(stack_->Log(old).substr(log_size), HasSubstr("claim lost"));
    });
    EXPECT_TRUE(noticed.ok()) << noticed.status();
    Finish();
    EXPECT_EQ(Number("SELECT epoch" + ClaimOf(role)), epoch + 1);
    const absl::Status drained = stack_->Drain(another);
    EXPECT_TRUE(drained.ok()) << drained;
  }
};

TEST_F(Faults, OfAWorkerCostNothing) {
  KillAndRestart(Program::kWorker);
  Finish();
}

TEST_F(Faults, OfALearnerLeadBackToItsCheckpoint) {
  KillAndRestart(Program::kLearner);
  Finish();
  EXPECT_THAT(stack_->Log(Program::kLearner), HasSubstr("continuing from a checkpoint"));
}

TEST_F(Faults, OfATrainerLeadBackToItsCheckpoint) {
  KillAndRestart(Program::kTrainer);
  Finish();
  EXPECT_THAT(stack_->Log(Program::kTrainer), HasSubstr("went on from a checkpoint"));
}

TEST_F(Faults, OfATeacherLoseAndDoubleNoAnswer) {
  ForgetAnswers();
  KillAndRestart(Program::kTeacher);
  Finish();
}

TEST_F(Faults, OfALearnerThatOnlySleptLeaveTheRunToTheOneThatTookItOver) {
  LetAnotherTakeOver(Program::kLearner, Program::kSecondLearner, "learner");
}

TEST_F(Faults, OfATrainerThatOnlySleptLeaveTheRunToTheOneThatTookItOver) {
  LetAnotherTakeOver(Program::kTrainer, Program::kSecondTrainer, "trainer");
}

TEST_F(Faults, OfTheBrokerAreWaitedFor) {
  for (const int64_t iterations : {kMiddle, kMiddle + 2, kMiddle + 4}) {
    AwaitIterations(iterations);
    KillAndRestart(Program::kBroker);
  }
  Finish();
}

TEST_F(Faults, OfTheDatabaseAreWaitedFor) {
  const absl::Status restarted = stack_->RestartDatabase();
  ASSERT_TRUE(restarted.ok()) << restarted;
  Finish();
}

// By then all claims have run out, too.
TEST_F(Faults, OfADatabaseThatIsAwayForLongAreWaitedFor) {
  ASSERT_TRUE(stack_->StopDatabase().ok());
  const absl::Status noticed = stack_->AwaitServing(false);
  EXPECT_TRUE(noticed.ok()) << noticed;
  const absl::Status started = stack_->StartDatabase();
  ASSERT_TRUE(started.ok()) << started;
  Finish();
}

TEST_F(Faults, OfADatabaseThatHangsAreWaitedFor) {
  stack_->FreezeDatabase();
  const absl::Status noticed = stack_->AwaitServing(false);
  EXPECT_TRUE(noticed.ok()) << noticed;
  stack_->ThawDatabase();
  Finish();
}

// What is stored of the time, moved, is the same to whoever compares it with now.
TEST_F(Faults, OfTheDatabasesClockThatIsSetForwardCostNothing) {
  stack_->Sql("UPDATE claims SET expires_at = expires_at - interval '1 hour'");
  stack_->Sql(
      "UPDATE leases SET leased_at = leased_at - interval '1 hour', "
      "expires_at = expires_at - interval '1 hour' WHERE state = 'LIVE'");
  Finish();
}

TEST_F(Faults, OfTheDatabasesClockThatIsSetBackKeepNobodyFromTakingOver) {
  stack_->Kill(Program::kLearner);
  stack_->Kill(Program::kTrainer);
  stack_->Sql(
      "UPDATE claims SET claimed_at = claimed_at + interval '1 hour', "
      "expires_at = expires_at + interval '1 hour'");
  stack_->Sql(
      "UPDATE leases SET leased_at = leased_at + interval '1 hour', "
      "expires_at = expires_at + interval '1 hour' WHERE state = 'LIVE'");
  Restart(Program::kLearner);
  Restart(Program::kTrainer);
  Finish();
}

TEST_F(Faults, OfEverythingAtOnceLeadBackToTheCheckpoints) {
  ForgetAnswers();
  const auto programs = {Program::kBroker, Program::kTeacher, Program::kWorker, Program::kLearner,
                         Program::kTrainer};
  for (const Program program : programs) stack_->Kill(program);
  const absl::Status restarted = stack_->RestartDatabase();
  ASSERT_TRUE(restarted.ok()) << restarted;
  for (const Program program : programs) Restart(program);
  Finish();
}

// As docs/operating.md has it: from a dump that was made while the run went on.
TEST_F(Faults, OfTheWholeDatabaseLeadBackToItsBackup) {
  ForgetAnswers();
  const std::string dump = stack_->folder() + "/backflip.dump";
  const auto sh = [](const std::string& command) {
    const auto output = cli::Run({.argv = {"sh", "-c", command}});
    ASSERT_TRUE(output.ok()) << output.status();
  };
  sh(absl::StrCat("pg_dump --format=custom --file=", dump, " '", stack_->database(), "'"));
  AwaitIterations(kMiddle + 3);
  const auto programs = {Program::kTeacher, Program::kWorker, Program::kLearner, Program::kTrainer,
                         Program::kBroker};
  for (const Program program : programs) stack_->Kill(program);
  const std::string server =
      absl::StrReplaceAll(stack_->database(), {{"/backflip?", "/postgres?"}});
  sh(absl::StrCat("psql -Xqc 'DROP DATABASE backflip WITH (FORCE)' -c 'CREATE DATABASE backflip' '",
                  server, "'"));
  sh(absl::StrCat("pg_restore --exit-on-error --dbname='", stack_->database(), "' ", dump));
  Restart(Program::kBroker);
  for (const Program program : programs) {
    if (program != Program::kBroker) Restart(program);
  }
  Finish();
}

// No fault, but the same promise.
TEST_F(Faults, AndPausesLeaveNoTrace) {
  ASSERT_TRUE(stack_->broker().Cancel(run_id_, /*pause=*/true).ok());
  ASSERT_TRUE(stack_->broker().Continue(run_id_, 0, 0).ok());
  Finish();
}

TEST_F(Faults, OfACheckpointLeadBackToTheOneBefore) {
  // which saves another one
  ASSERT_TRUE(stack_->broker().Cancel(run_id_, /*pause=*/true).ok());
  const std::string newest =
      absl::StrCat(" FROM checkpoints WHERE role = 'learner' AND run_id = ", run_id_);
  const auto saved = stack_->Await(
      run_id_, [&](const v1::Run&) { return Number("SELECT max(iteration)" + newest) > 10; });
  ASSERT_TRUE(saved.ok()) << saved.status();
  stack_->Sql(absl::StrCat(
      "UPDATE checkpoints SET data = set_byte(data, 100, 255 - get_byte(data, 100)) WHERE "
      "role = 'learner' AND run_id = ",
      run_id_, " AND iteration = (SELECT max(iteration)", newest, ")"));
  ASSERT_TRUE(stack_->broker().Continue(run_id_, 0, 0).ok());
  Finish();
  EXPECT_THAT(stack_->Log(Program::kBroker), HasSubstr("a checkpoint in the database is damaged"));
}

TEST_F(Faults, OfAWorkerOfAnotherVersionAreToldAndCostNothing) {
  const std::string learner = stack_->Sql("SELECT advertise" + ClaimOf("learner"));
  const int64_t token = Number(
      "SELECT min(k.id) FROM accepted_tokens k JOIN callers c ON c.id = k.caller_id "
      "WHERE c.role = 'worker'");
  const std::string secret = stack_->Sql("SELECT collect_token" + ClaimOf("learner"));
  const rpc::Client client(learner, rpc::CollectToken(secret, token));
  const auto stub = v1::CollectService::NewStub(client.channel());
  const auto context = client.UnaryContext();
  const auto stream = stub->Collect(context.get());
  v1::WorkerMessage hello;
  hello.mutable_register_()->set_protocol_major(0);
  hello.mutable_register_()->set_threads(1);
  stream->Write(hello);
  v1::LearnerMessage answer;
  while (stream->Read(&answer)) {
  }
  const grpc::Status refused = stream->Finish();
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(refused.error_message(), HasSubstr("the same major version"));
  Finish();
}

// Nothing more is given to programs than they have, as where a container's limit is reached. Who
// needs more (in so short a run the worker) ends, as by the kernel; nobody hangs.
TEST_F(Faults, OfAMemoryLimitThatIsHitAreThoseOfAKill) {
  const auto limit = [&](Program program, rlim_t bytes) {
    const rlimit limit{bytes, RLIM_INFINITY};
    ASSERT_EQ(prlimit(stack_->Pid(program), RLIMIT_AS, &limit, nullptr), 0);
  };
  for (const Program program : {Program::kWorker, Program::kTrainer, Program::kLearner}) {
    limit(program, 0);
    const auto done =
        stack_->Await(run_id_, [&](const v1::Run& run) { return run.iterations() >= kMiddle + 3; });
    if (done.ok()) {  // it did with what it has
      limit(program, RLIM_INFINITY);
      continue;
    }
    EXPECT_THAT(done.status().message(), HasSubstr("has ended"));
    KillAndRestart(program);
  }
  Finish();
}

// The C library is told to use what it has for processors without fused multiplication.
TEST_F(Faults, OfAMixedFleetAreSaidWhenItMixes) {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("fma")) GTEST_SKIP() << "this processor has none, either";
#else
  GTEST_SKIP() << "of x86 alone";
#endif
  ASSERT_EQ(setenv("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4", 1), 0);
  Restart(Program::kSecondWorker);
  ASSERT_EQ(unsetenv("GLIBC_TUNABLES"), 0);
  const auto said = stack_->Await(run_id_, [&](const v1::Run&) {
    return ::testing::Value(stack_->Log(Program::kLearner), HasSubstr("rounds otherwise")) &&
           ::testing::Value(stack_->Log(Program::kSecondWorker), HasSubstr("rounds otherwise"));
  });
  EXPECT_TRUE(said.ok()) << said.status();
  EXPECT_THAT(stack_->Log(Program::kWorker), Not(HasSubstr("rounds otherwise")));
  const absl::Status drained = stack_->Drain(Program::kSecondWorker);
  EXPECT_TRUE(drained.ok()) << drained;
  // by whom its tickets were served is chance
  ASSERT_TRUE(stack_->broker().Cancel(run_id_, /*pause=*/false).ok());
}

TEST_F(Faults, AndTheEndDoNotKeepARunFromGoingOn) {
  Finish();
  Restart(Program::kTeacher);
  ASSERT_TRUE(stack_->broker().Continue(run_id_, 20, 8 * 800).ok());
  const auto end = stack_->Await(run_id_, [](const v1::Run& run) {
    return Finished(run) && run.iterations() == kBatches + 8;
  });
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->labels(), kLabels + 20);
}

}  // namespace
}  // namespace backflip::testing
