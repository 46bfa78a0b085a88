#include "cli/launcher/local_stack.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "backflip/v1/people.grpc.pb.h"
#include "cli/launcher/paths.h"
#include "cli/launcher/subprocess.h"
#include "common/base/flags.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/client/broker_client.h"
#include "common/rpc/server.h"
#include "nlohmann/json.hpp"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kDrain = absl::Seconds(20);
constexpr absl::Duration kBrokerDrain = absl::Seconds(10);

// A URL may have a password, and every user of the machine sees the arguments of programs.
std::string DatabaseVariable(const std::string& url) {
  return absl::StrCat(base::VariableOf("database_url"), "=", url);
}

std::string TokenFile(const std::string& data, const std::string& role) {
  return absl::StrCat(data, "/tokens/", role, ".token");
}

// What the broker's program does with the database and ends, as its output.
absl::StatusOr<std::string> AskBroker(const std::string& database,
                                      std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), ProgramPath("preference-broker"));
  absl::StatusOr<std::string> output =
      Run({.argv = std::move(arguments), .environment = {DatabaseVariable(database)}});
  if (output.ok()) return output;
  // the sentence in what it logged last
  const std::string text(output.status().message());
  const size_t line = text.rfind("\n{");
  if (line == std::string::npos) return output;
  const auto log = nlohmann::json::parse(text.substr(line + 1), nullptr,
                                         /*allow_exceptions=*/false);
  if (!log.is_object() || !log.contains("error")) return output;
  return absl::FailedPreconditionError(
      absl::StrCat("the database cannot be used: ", log.value("error", "")));
}

}  // namespace

absl::StatusOr<std::string> Migrate(const std::string& database, const std::string& data) {
  return AskBroker(database, {"migrate", absl::StrCat("--tokens=", data, "/tokens")});
}

absl::StatusOr<std::string> InspectDatabase(const std::string& database) {
  return AskBroker(database, {"inspect"});
}

absl::StatusOr<std::unique_ptr<LocalStack>> LocalStack::Start(const Options& options,
                                                              const std::function<bool()>& stop) {
  std::unique_ptr<LocalStack> stack(new LocalStack());
  stack->options_ = options;
  std::error_code error;
  fs::create_directories(options.data + "/logs", error);
  if (error) {
    return absl::FailedPreconditionError(absl::StrCat("cannot write into the data folder ",
                                                      options.data, ": ", error.message(),
                                                      ". Choose another with --data."));
  }
  ASSIGN_OR_RETURN(const std::string sockets, SocketFolder(options.data));
  stack->lock_fd_ = open(sockets.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (stack->lock_fd_ < 0 || flock(stack->lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("another backflip runs in the data folder ", options.data,
                     ". End it first, or choose another folder with --data."));
  }
  // ours from here on: the end removes them
  stack->sockets_ = sockets;

  stack->user_ = ServiceUser();
  if (geteuid() == 0 &&
      (!stack->user_.has_value() || !stack->UserMay("-x", ProgramPath("preference-broker")) ||
       !stack->UserMay("-x", options.data))) {
    stack->user_.reset();
    base::MutexLock lock(&stack->mutex_);
    stack->events_.push_back(
        absl::StrCat("services run as root: there is no user `backflip`, or it cannot enter ",
                     ProgramPath(""), " or ", options.data));
  }

  std::string database = options.database;
  if (database.empty()) {
    ASSIGN_OR_RETURN(stack->postgres_, PrivatePostgres::Start(options.data));
    database = stack->postgres_->url();
    stack->database_watcher_ = std::thread([raw = stack.get()] { raw->WatchDatabase(); });
  }
  stack->options_.database = database;
  RETURN_IF_ERROR(Migrate(database, options.data).status());
  RETURN_IF_ERROR(stack->StartBroker(stop));
  return stack;
}

LocalStack::~LocalStack() {
  Stop();
  if (lock_fd_ >= 0) close(lock_fd_);
}

bool LocalStack::UserMay(const std::string& what, const std::string& path) const {
  return Run({.argv = {"test", what, path}, .user = user_}).ok();
}

void LocalStack::HandOver(const std::string& path) const {
  // where it fails the service says that it cannot use it
  if (user_.has_value()) (void)!lchown(path.c_str(), user_->uid, user_->gid);
}

void LocalStack::Add(const std::string& program, const std::string& token,
                     std::vector<std::string> arguments, std::string name) {
  if (name.empty()) name = program;
  const std::string log = absl::StrCat(options_.data, "/logs/", name, ".jsonl");
  // one stack's log, and the one before it
  std::error_code ignored;
  fs::rename(log, log + ".1", ignored);
  arguments.insert(arguments.begin(), ProgramPath(program));
  std::vector<std::string> environment;
  if (token.empty()) {
    environment.push_back(DatabaseVariable(options_.database));
  } else {
    arguments.push_back(absl::StrCat("--broker=", BrokerAddress(options_.data)));
    arguments.push_back(absl::StrCat("--token-file=", TokenFile(options_.data, token)));
    HandOver(TokenFile(options_.data, token));
  }
  auto process =
      std::make_unique<ServiceProcess>(name, Process{.argv = std::move(arguments),
                                                     .environment = std::move(environment),
                                                     .user = user_,
                                                     .log_file = log});
  if (token.empty()) {
    broker_process_ = std::move(process);
  } else {
    services_.push_back(std::move(process));
  }
}

absl::Status LocalStack::StartBroker(const std::function<bool()>& stop) {
  const std::string address = BrokerAddress(options_.data);
  std::vector<std::string> arguments = {"serve", absl::StrCat("--listen=", address)};
  if (options_.pages.has_value()) {
    const PagesOptions& pages = *options_.pages;
    ASSIGN_OR_RETURN(const PagesAddress chosen, ChoosePagesAddress(pages));
    pages_url_ = chosen.url;
    arguments.push_back(absl::StrCat("--http-listen=", chosen.listen));
    for (const std::string& file : {pages.tls_certificate, pages.tls_key}) {
      if (file.empty() || UserMay("-r", file)) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("the user backflip, as whom the broker runs, cannot read ", file,
                       ": let its group read it (chgrp backflip, chmod g+r)"));
    }
    if (!pages.tls_certificate.empty()) {
      arguments.push_back(absl::StrCat("--tls-certificate=", pages.tls_certificate));
      arguments.push_back(absl::StrCat("--tls-key=", pages.tls_key));
    }
    if (!pages.public_url.empty()) {
      arguments.push_back(absl::StrCat("--public-url=", pages_url_));
    }
  }
  Add("preference-broker", "", std::move(arguments));
  ASSIGN_OR_RETURN(std::string token, rpc::ReadTokenFile(TokenFile(options_.data, "operator")));
  broker_ = std::make_unique<rpc::Client>(address, std::move(token));
  const absl::Time give_up = absl::Now() + absl::Minutes(1);
  while (true) {
    absl::Status healthy = rpc::WaitHealthy(address, absl::Seconds(1));
    if (healthy.ok()) {
      if (!pages_url_.empty()) {
        std::ofstream(PagesUrlFile(options_.data)) << pages_url_ << "\n";
      }
      return healthy;
    }
    RETURN_IF_ERROR(broker_process_->failure());
    if (stop != nullptr && stop()) return absl::CancelledError("interrupted");
    if (absl::Now() > give_up) {
      return absl::DeadlineExceededError(
          absl::StrCat("the broker did not become healthy within a minute (", healthy.message(),
                       "); its log is ", options_.data, "/logs/preference-broker.jsonl"));
    }
  }
}

absl::Status LocalStack::MakeTeacherToken(const std::string& name) {
  const std::string file = TokenFile(options_.data, name);
  if (fs::exists(file)) return absl::OkStatus();
  const client::BrokerClient broker(*broker_, nullptr);
  v1::InviteRequest invite;
  invite.set_request_id(base::RandomHex128());
  invite.set_role(v1::INVITE_TEACHER);
  invite.set_name(name);
  ASSIGN_OR_RETURN(const v1::InviteResponse invited,
                   broker.Call<v1::PeopleService>(&v1::PeopleService::Stub::Invite, invite));
  v1::AcceptInviteRequest accept;
  accept.set_request_id(base::RandomHex128());
  accept.set_secret(invited.secret());
  ASSIGN_OR_RETURN(const v1::AcceptInviteResponse accepted,
                   broker.Call<v1::PeopleService>(&v1::PeopleService::Stub::AcceptInvite, accept));
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const std::string line = accepted.token() + "\n";
  const bool written =
      fd >= 0 && write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  if (fd >= 0) close(fd);
  if (written) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("cannot write the token of the teacher ", name, " to ", file));
}

absl::Status LocalStack::Serve(const Serving& serving) {
  std::error_code ignored;
  fs::create_directories(options_.data + "/cache", ignored);
  HandOver(options_.data + "/cache");
  Add("policy-learner", "learner", {absl::StrCat("--listen=unix:", sockets_, "/learner.sock")});
  Add("rollout-worker", "worker",
      {absl::StrCat("--threads=", serving.threads),
       absl::StrCat("--cache=", options_.data, "/cache")});
  if (!serving.preferences) return absl::OkStatus();
  Add("reward-trainer", "trainer", {});
  for (size_t i = 0; i < serving.teachers.size(); ++i) {
    const std::string& teacher = serving.teachers[i];
    std::vector<std::string> arguments = {absl::StrCat("--run=", serving.run_id),
                                          absl::StrCat("--teacher=", teacher),
                                          absl::StrCat("--seed=", serving.seed + i)};
    if (serving.labels_per_minute > 0) {
      arguments.push_back(absl::StrCat("--labels-per-minute=", serving.labels_per_minute));
    }
    if (serving.teachers.size() == 1) {
      Add("labeler", "teacher", std::move(arguments));
      continue;
    }
    // one at a time, so that answers are spread over all of them
    arguments.push_back("--count=1");
    const std::string name = absl::StrCat("teacher-", i + 1, "-", teacher);
    RETURN_IF_ERROR(MakeTeacherToken(name));
    Add("labeler", name, std::move(arguments), name);
  }
  return absl::OkStatus();
}

void LocalStack::WatchDatabase() {
  while (true) {
    {
      base::MutexLock lock(&mutex_);
      if (!stopping_) changed_.WaitFor(&mutex_, std::chrono::seconds(1));
      if (stopping_) return;
    }
    if (postgres_->Running()) continue;
    absl::Status restarted = postgres_->Restart();
    base::MutexLock lock(&mutex_);
    if (!restarted.ok()) {
      database_failure_ = restarted;
      return;
    }
    events_.push_back("PostgreSQL had ended and was started again");
  }
}

absl::Status LocalStack::Failure() {
  {
    base::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(database_failure_);
  }
  if (broker_process_ != nullptr) {
    RETURN_IF_ERROR(broker_process_->failure());
  }
  for (const auto& service : services_) RETURN_IF_ERROR(service->failure());
  return absl::OkStatus();
}

std::vector<std::string> LocalStack::TakeEvents() {
  std::vector<std::string> events;
  {
    base::MutexLock lock(&mutex_);
    events = std::exchange(events_, {});
  }
  const auto add = [&](ServiceProcess& process) {
    for (std::string& event : process.TakeEvents()) {
      events.push_back(std::move(event));
    }
  };
  if (broker_process_ != nullptr) add(*broker_process_);
  for (const auto& service : services_) add(*service);
  return events;
}

void LocalStack::StopServing() {
  // all at once
  for (const auto& service : services_) service->Drain();
  const absl::Time deadline = absl::Now() + kDrain;
  for (const auto& service : services_) service->Stop(deadline - absl::Now());
  services_.clear();
}

void LocalStack::Stop() {
  // writers end before what they write to
  StopServing();
  std::error_code ignored;
  if (!pages_url_.empty()) fs::remove(PagesUrlFile(options_.data), ignored);
  // a server waits for idle connections until the end of its grace
  broker_.reset();
  if (broker_process_ != nullptr) broker_process_->Stop(kBrokerDrain);
  broker_process_.reset();
  {
    base::MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (database_watcher_.joinable()) database_watcher_.join();
  postgres_.reset();
  if (!sockets_.empty()) {
    fs::remove_all(sockets_, ignored);
  }
}

}  // namespace backflip::cli
