#include "tests/support/stack.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "cli/launcher/paths.h"
#include "cli/launcher/subprocess.h"
#include "cli/output/replay.h"
#include "common/base/status_macros.h"
#include "common/client/snapshot_client.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/sim/task.h"

namespace backflip::testing {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(2);

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

}  // namespace

absl::StatusOr<std::unique_ptr<Stack>> Stack::Start(std::vector<std::string> flags) {
  std::unique_ptr<Stack> stack(new Stack());
  stack->flags_ = std::move(flags);
  ASSIGN_OR_RETURN(stack->postgres_, cli::PrivatePostgres::StartTemporary());
  char folder[] = "/tmp/backflip-stack-XXXXXX";
  if (mkdtemp(folder) == nullptr) return absl::InternalError("cannot make a folder in /tmp");
  stack->folder_ = folder;
  RETURN_IF_ERROR(cli::Run({.argv = {cli::ProgramPath("preference-broker"), "migrate",
                                     absl::StrCat("--database_url=", stack->postgres_->url()),
                                     absl::StrCat("--tokens=", stack->folder_, "/tokens")}})
                      .status());
  RETURN_IF_ERROR(stack->StartProgram(Program::kBroker));
  ASSIGN_OR_RETURN(rpc::Client client, stack->ClientOf("operator"));
  RETURN_IF_ERROR(rpc::WaitHealthy(client.address(), kPatience));
  stack->operator_ = std::make_unique<client::BrokerClient>(std::move(client), nullptr);
  return stack;
}

absl::StatusOr<rpc::Client> Stack::ClientOf(const std::string& role) const {
  ASSIGN_OR_RETURN(std::string token,
                   rpc::ReadTokenFile(absl::StrCat(folder_, "/tokens/", role, ".token")));
  return rpc::Client(absl::StrCat("unix:", folder_, "/broker.sock"), std::move(token));
}

Stack::~Stack() {
  while (!running_.empty()) Kill(running_.begin()->first);
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

absl::Status Stack::StartProgram(Program program) {
  const Described described = Describe(program, folder_);
  std::vector<std::string> argv = {cli::ProgramPath(described.binary)};
  const std::string broker = absl::StrCat("unix:", folder_, "/broker.sock");
  if (program == Program::kBroker) {
    argv.insert(argv.end(), {"serve", absl::StrCat("--database_url=", postgres_->url()),
                             absl::StrCat("--listen=", broker)});
  } else {
    argv.insert(argv.end(),
                {absl::StrCat("--broker=", broker),
                 absl::StrCat("--token-file=", folder_, "/tokens/", described.role, ".token")});
  }
  argv.insert(argv.end(), described.arguments.begin(), described.arguments.end());
  argv.insert(argv.end(), flags_.begin(), flags_.end());
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
  waitpid(pid, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(NameOf(Describe(program, folder_)),
                                          " did not end well when asked to drain:\n",
                                          Log(program)));
}

absl::Status Stack::RestartDatabase() {
  RETURN_IF_ERROR(postgres_->Stop());
  return postgres_->Restart();
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
        return absl::InternalError(
            absl::StrCat(NameOf(Describe(program, folder_)), " has ended:\n", Tails()));
      }
    }
    if (run.state() == v1::FAILED) {
      return absl::InternalError(absl::StrCat("the run failed: ", run.message()));
    }
    if (absl::Now() > give_up) {
      return absl::DeadlineExceededError(
          absl::StrCat("waited in vain; the run is\n", run.DebugString(), Tails()));
    }
  }
}

std::string Stack::Sql(const std::string& query) const {
  const auto output = cli::Run({.argv = {"psql", "-XAtc", query, postgres_->url()}});
  if (!output.ok()) return absl::StrCat("psql: ", std::string(output.status().message()));
  return std::string(absl::StripSuffix(*output, "\n"));
}

std::string Stack::Log(Program program) const {
  std::ifstream file(LogFile(program, folder_));
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string Stack::Tails() const {
  constexpr size_t kTail = 1500;
  std::string tails;
  for (const auto& [program, pid] : running_) {
    const std::string log = Log(program);
    absl::StrAppend(&tails, "--- ", NameOf(Describe(program, folder_)), "\n",
                    log.substr(log.size() - std::min(log.size(), kTail)), "\n");
  }
  return tails;
}

}  // namespace backflip::testing
