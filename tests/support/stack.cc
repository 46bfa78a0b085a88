#include "tests/support/stack.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cli/launcher/paths.h"
#include "cli/launcher/subprocess.h"
#include "cli/output/replay.h"
#include "common/base/status_macros.h"
#include "common/client/snapshot_client.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/sim/task.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/support/await.h"

namespace backflip::testing {
namespace {

struct Described {
  const char* binary;
  const char* role;
  // Among those of its kind: 1 or 2.
  int number;
  std::vector<std::string> arguments;
};

Described Describe(Program program, const std::string& folder) {
  switch (program) {
    case Program::kBroker:
      return {"preference-broker", "", 1, {}};
    case Program::kLearner:
      return {"policy-learner",
              "learner",
              1,
              {absl::StrCat("--listen=unix:", folder, "/learner.sock")}};
    case Program::kSecondLearner:
      return {"policy-learner",
              "learner",
              2,
              {absl::StrCat("--listen=unix:", folder, "/learner2.sock")}};
    case Program::kTrainer:
      return {"reward-trainer", "trainer", 1, {}};
    case Program::kSecondTrainer:
      return {"reward-trainer", "trainer", 2, {}};
    case Program::kWorker:
      return {"rollout-worker", "worker", 1, {"--threads=2"}};
    case Program::kSecondWorker:
      return {"rollout-worker", "worker", 2, {"--threads=2"}};
    case Program::kTeacher:
      return {"labeler", "teacher", 1, {}};
  }
  return {};
}

std::string NameOf(const Described& described) {
  return absl::StrCat(described.binary, described.number == 1 ? "" : "-2");
}

std::string LogFile(Program program, const std::string& folder) {
  return absl::StrCat(folder, "/", NameOf(Describe(program, folder)), ".jsonl");
}

std::string Read(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace

v1::RunSpec ShortRun(int labels, int batches) {
  v1::RunSpec spec;
  spec.set_labels(labels);
  spec.set_steps(batches * 800);
  spec.set_kept_snapshots(1);
  spec.mutable_collection()->set_environments(4);
  spec.mutable_collection()->set_batch_steps(800);
  spec.mutable_collection()->set_clips_per_batch(8);
  spec.mutable_ppo()->set_epochs(2);
  spec.mutable_reward_model()->set_updates_per_label(0.5);
  return spec;
}

absl::Status Stack::StartDatabase(const StackOptions& options) {
  database_ = options.database;
  if (!database_.empty()) return absl::OkStatus();
  if (options.database_folder.empty()) {
    ASSIGN_OR_RETURN(postgres_, cli::PrivatePostgres::StartTemporary());
  } else {
    ASSIGN_OR_RETURN(postgres_, cli::PrivatePostgres::Start(options.database_folder));
  }
  database_ = postgres_->url();
  return absl::OkStatus();
}

absl::Status Stack::LayWires() {
  for (const Program program :
       {Program::kLearner, Program::kSecondLearner, Program::kTrainer, Program::kSecondTrainer,
        Program::kWorker, Program::kSecondWorker, Program::kTeacher}) {
    ASSIGN_OR_RETURN(wires_[program],
                     Wire::Start(absl::StrCat(folder_, "/wire", static_cast<int>(program), ".sock"),
                                 absl::StrCat(folder_, "/broker.sock")));
  }
  ASSIGN_OR_RETURN(learner_wire_, Wire::Start(absl::StrCat(folder_, "/wire-learner.sock"),
                                              absl::StrCat(folder_, "/learner.sock")));
  const std::string socket = "/.s.PGSQL.5432";
  const std::string host = database_.substr(database_.find("host=") + 5);
  mkdir(absl::StrCat(folder_, "/database").c_str(), 0700);
  ASSIGN_OR_RETURN(database_wire_, Wire::Start(absl::StrCat(folder_, "/database", socket),
                                               host.substr(0, host.find('&')) + socket));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Stack>> Stack::Start(StackOptions options) {
  std::unique_ptr<Stack> stack(new Stack());
  stack->flags_ = options.flags;
  stack->broker_flags_ = options.broker_flags;
  RETURN_IF_ERROR(stack->StartDatabase(options));
  char folder[] = "/tmp/backflip-stack-XXXXXX";
  if (mkdtemp(folder) == nullptr) return absl::InternalError("cannot make a folder in /tmp");
  stack->folder_ = folder;
  if (options.wires) RETURN_IF_ERROR(stack->LayWires());
  RETURN_IF_ERROR(cli::Run({.argv = {cli::ProgramPath("preference-broker"), "migrate",
                                     absl::StrCat("--database_url=", stack->database_),
                                     absl::StrCat("--tokens=", stack->folder_, "/tokens")}})
                      .status());
  RETURN_IF_ERROR(stack->StartProgram(Program::kBroker));
  ASSIGN_OR_RETURN(rpc::Client client, stack->ClientOf("operator"));
  if (const absl::Status healthy = rpc::WaitHealthy(client.address(), kPatience); !healthy.ok()) {
    return absl::InternalError(absl::StrCat(healthy.message(), "\n", stack->Logs()));
  }
  stack->operator_ = std::make_unique<client::BrokerClient>(std::move(client), nullptr);
  return stack;
}

absl::StatusOr<rpc::Client> Stack::ClientOf(const std::string& role) const {
  ASSIGN_OR_RETURN(std::string token,
                   rpc::ReadTokenFile(absl::StrCat(folder_, "/tokens/", role, ".token")));
  return rpc::Client(absl::StrCat("unix:", folder_, "/broker.sock"), std::move(token));
}

Stack::~Stack() {
  PrintLogsOfAFailure();
  while (!running_.empty()) Kill(running_.begin()->first);
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

std::vector<std::string> Stack::Reaching(Program program) const {
  const std::string broker = absl::StrCat("unix:", folder_, "/broker.sock");
  if (program == Program::kBroker) {
    const std::string host = database_.substr(database_.find("host="));
    const std::string url =
        database_wire_ == nullptr
            ? database_
            : absl::StrReplaceAll(database_, {{host.substr(0, host.find('&')),
                                               absl::StrCat("host=", folder_, "/database")}});
    return {"serve", absl::StrCat("--database_url=", url), absl::StrCat("--listen=", broker)};
  }
  const std::string token =
      absl::StrCat("--token-file=", folder_, "/tokens/", Describe(program, folder_).role, ".token");
  if (wires_.empty()) return {absl::StrCat("--broker=", broker), token};
  std::vector<std::string> arguments = {
      absl::StrCat("--broker=unix:", folder_, "/wire", static_cast<int>(program), ".sock"), token};
  if (program == Program::kLearner) {
    arguments.push_back(absl::StrCat("--advertise=unix:", folder_, "/wire-learner.sock"));
  }
  return arguments;
}

absl::Status Stack::StartProgram(Program program) {
  const Described described = Describe(program, folder_);
  std::vector<std::string> argv = {cli::ProgramPath(described.binary)};
  for (const auto& arguments : {Reaching(program), described.arguments})
    argv.insert(argv.end(), arguments.begin(), arguments.end());
  argv.insert(argv.end(), flags_.begin(), flags_.end());
  if (program == Program::kBroker)
    argv.insert(argv.end(), broker_flags_.begin(), broker_flags_.end());
  ASSIGN_OR_RETURN(running_[program], cli::Spawn({.argv = std::move(argv),
                                                  .log_file = LogFile(program, folder_),
                                                  .dies_with_parent = true}));
  return absl::OkStatus();
}

absl::Status Stack::StartServing() {
  for (const Program program :
       {Program::kLearner, Program::kTrainer, Program::kWorker, Program::kTeacher}) {
    RETURN_IF_ERROR(StartProgram(program));
  }
  return absl::OkStatus();
}

void Stack::Kill(Program program) {
  const pid_t pid = running_.at(program);
  running_.erase(program);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

absl::Status Stack::Drain(Program program) {
  const pid_t pid = running_.at(program);
  running_.erase(program);
  kill(pid, SIGTERM);
  int status = 0;
  if (!testing::Await([&] { return waitpid(pid, &status, WNOHANG) == pid; })) {
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(NameOf(Describe(program, folder_)), " did not end well when asked to drain"));
}

absl::Status Stack::RestartDatabase() {
  RETURN_IF_ERROR(postgres_->Stop());
  return postgres_->Restart();
}

void Stack::SignalDatabase(int signal) const {
  // the server first, so that it makes no others meanwhile
  kill(postgres_->pid(), signal);
  const auto children =
      cli::Run({.argv = {"ps", "-o", "pid=", "--ppid", absl::StrCat(postgres_->pid())}});
  for (const auto child : absl::StrSplit(children.value_or(""), '\n', absl::SkipWhitespace())) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(child, &pid)) kill(pid, signal);
  }
}

absl::Status Stack::AwaitServing(bool serves) const {
  const auto stub = grpc::health::v1::Health::NewStub(operator_->client().channel());
  const bool said = testing::Await([&] {
    grpc::health::v1::HealthCheckResponse health;
    const bool answered = stub->Check(operator_->client().UnaryContext().get(), {}, &health).ok();
    return answered &&
           serves == (health.status() == grpc::health::v1::HealthCheckResponse::SERVING);
  });
  if (said) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat("the broker's health never said that it ",
                                                  serves ? "serves" : "does not serve"));
}

absl::Status Stack::CountAnswers() {
  if (Runs(Program::kTeacher)) RETURN_IF_ERROR(Drain(Program::kTeacher));
  if (!absl::SimpleAtoi(Sql("SELECT count(*) FROM labels"), &labels_before_)) {
    return absl::InternalError("labels cannot be counted");
  }
  return StartProgram(Program::kTeacher);
}

absl::Status Stack::CheckAnswers() {
  RETURN_IF_ERROR(Drain(Program::kTeacher));
  const std::string log = Log(Program::kTeacher);
  const std::string last = log.substr(log.rfind("\"drained\""));
  const std::string labels =
      Sql(absl::StrCat("SELECT count(*) - ", labels_before_, " FROM labels"));
  if (!absl::StrContains(last, absl::StrCat("\"answers\":", labels, "}"))) {
    return absl::DataLossError(
        absl::StrCat(labels, " labels have come, where the teacher says: ", last));
  }
  const std::string twice =
      Sql("SELECT string_agg(question_id::text, ' ') FROM (SELECT question_id FROM labels "
          "WHERE supersedes IS NULL GROUP BY question_id, caller_id HAVING count(*) > 1) t");
  if (!twice.empty()) return absl::DataLossError("questions with a label twice: " + twice);
  // numbered after the commit
  std::string gaps;
  const bool whole = testing::Await([&] {
    gaps =
        Sql("SELECT string_agg(run_id::text, ' ') FROM (SELECT run_id FROM labels GROUP BY run_id "
            "HAVING count(*) <> coalesce(max(position), 0) OR count(*) <> count(position)) t");
    return gaps.empty();
  });
  if (whole) return absl::OkStatus();
  return absl::DataLossError("runs with gaps in their feed: " + gaps);
}

absl::StatusOr<v1::Run> Stack::Create(const std::string& name, const v1::RunSpec& layer) {
  ASSIGN_OR_RETURN(const std::string folder, cli::FindTask(name));
  ASSIGN_OR_RETURN(const auto task, sim::Task::FromFolder(folder));
  RETURN_IF_ERROR(client::PutBundle(operator_->client(), task->bundle().bytes));
  return operator_->Create(layer, cli::InfoOf(*task), /*people=*/false, /*labels_from=*/0);
}

absl::StatusOr<v1::Run> Stack::Await(int64_t run_id,
                                     const std::function<bool(const v1::Run&)>& condition) {
  const absl::Time give_up = absl::Now() + kPatience;
  int64_t revision = 0;
  while (true) {
    ASSIGN_OR_RETURN(v1::Run run, operator_->Watch(run_id, revision, absl::Seconds(1)));
    if (condition(run)) return run;
    revision = run.revision();
    for (const auto& [program, pid] : running_) {
      siginfo_t ended{};
      waitid(P_PID, pid, &ended, WEXITED | WNOHANG | WNOWAIT);
      if (ended.si_pid != 0) {
        return absl::InternalError(absl::StrCat(NameOf(Describe(program, folder_)), " has ended"));
      }
    }
    if (run.state() == v1::FAILED) {
      return absl::InternalError(absl::StrCat("the run failed: ", run.message()));
    }
    if (absl::Now() > give_up) {
      return absl::DeadlineExceededError(
          absl::StrCat("waited in vain; the run is\n", run.DebugString()));
    }
  }
}

std::string Stack::Sql(const std::string& query) const {
  const auto output = cli::Run({.argv = {"psql", "-XAtc", query, database_}});
  if (!output.ok()) return absl::StrCat("psql: ", std::string(output.status().message()));
  return std::string(absl::StripSuffix(*output, "\n"));
}

std::string Stack::Log(Program program) const {
  std::string log = Read(LogFile(program, folder_));
  // the last line may be half written
  log.resize(log.rfind('\n') + 1);
  return log;
}

std::string Stack::Logs() const {
  constexpr size_t kTail = 4000;
  std::set<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator(folder_)) {
    const std::string kind = file.path().extension();
    if (kind == ".jsonl" || kind == ".log") files.insert(file.path());
  }
  std::string logs;
  for (const std::filesystem::path& file : files) {
    const std::string log = Read(file);
    absl::StrAppend(&logs, "--- the end of ", file.filename().string(), "\n",
                    log.substr(log.size() - std::min(log.size(), kTail)), "\n");
  }
  return logs;
}

void Stack::PrintLogsOfAFailure() const {
  if (!folder_.empty() && ::testing::Test::HasFailure()) std::cerr << Logs() << std::flush;
}

}  // namespace backflip::testing
