// A worker on a host of its own, which is a network namespace here: joined by one command to a
// stack with mutual TLS, and cut off by one command.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/launcher/paths.h"
#include "cli/launcher/subprocess.h"
#include "tests/support/await.h"
#include "tests/support/stack.h"

namespace backflip::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class WorkerHost : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string number = absl::StrCat(getpid() % 60'000);
    host_ = "backflip-" + number;
    link_ = "bf" + number;
    // of the addresses for tests of networks (RFC 2544)
    const std::string net = absl::StrCat("198.18.", getpid() % 250, ".");
    address_ = net + "1";
    if (!Ip({"netns", "add", host_}).ok()) {
      GTEST_SKIP() << "needs iproute2 and the capability CAP_NET_ADMIN, to make a host";
    }
    ASSERT_TRUE(
        Ip({"link", "add", link_, "type", "veth", "peer", "name", "up0", "netns", host_}).ok());
    ASSERT_TRUE(Ip({"address", "add", address_ + "/30", "dev", link_}).ok());
    ASSERT_TRUE(Ip({"link", "set", link_, "up"}).ok());
    ASSERT_TRUE(Ip({"-n", host_, "address", "add", net + "2/30", "dev", "up0"}).ok());
    ASSERT_TRUE(Ip({"-n", host_, "link", "set", "up0", "up"}).ok());

    auto stack = Stack::Start();
    ASSERT_TRUE(stack.ok()) << stack.status();
    stack_ = *std::move(stack);
    const auto made = cli::Run({.argv = {BACKFLIP_CERTIFICATES, Pem(""), address_}});
    ASSERT_TRUE(made.ok()) << made.status();
    Start("preference-broker",
          {"serve", "--database_url=" + stack_->database(), "--listen=" + address_ + ":7400",
           "--worker_authority=" + Pem("worker-authority.pem")},
          "broker");
    Start("policy-learner",
          {"--broker=unix:" + stack_->folder() + "/broker.sock",
           "--token_file=" + stack_->folder() + "/tokens/learner.token",
           "--listen=" + address_ + ":7500", "--advertise=" + address_ + ":7500"},
          "learner");
    for (const auto& [name, line] :
         {std::pair("broker", "\"serving\""), {"learner", "policy-learner serves"}}) {
      ASSERT_TRUE(Await([&, n = name, l = line] { return absl::StrContains(Log(n), l); })) << name;
    }
  }
  void TearDown() override {
    for (const pid_t pid : pids_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    stack_.reset();
    (void)Ip({"netns", "del", host_});
    (void)Ip({"link", "del", link_});
  }

  static absl::Status Ip(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "ip");
    return cli::Run({.argv = std::move(arguments)}).status();
  }
  std::string Pem(const std::string& name) const { return stack_->folder() + "/pem/" + name; }
  std::string LogFile(const std::string& name) const {
    return absl::StrCat(stack_->folder(), "/", name, ".log");
  }
  std::string Log(const std::string& name) const {
    std::ifstream file(LogFile(name));
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  // A server with TLS that asks clients for certificates.
  void Start(const std::string& program, std::vector<std::string> arguments,
             const std::string& certificate) {
    arguments.insert(arguments.begin(), cli::ProgramPath(program));
    for (const std::string& flag :
         {"--tls_certificate=" + Pem(certificate + ".pem"),
          "--tls_key=" + Pem(certificate + ".key"), "--tls_ca=" + Pem("ca.pem")})
      arguments.push_back(flag);
    const auto pid = cli::Spawn(
        {.argv = std::move(arguments), .log_file = LogFile(certificate), .dies_with_parent = true});
    ASSERT_TRUE(pid.ok()) << pid.status();
    pids_.push_back(*pid);
  }
  // backflip, as an operator who reaches the broker over the network.
  absl::StatusOr<std::string> Backflip(std::vector<std::string> words) const {
    words.insert(words.begin(), cli::ProgramPath("backflip"));
    for (const std::string& word :
         {std::string("--broker"), address_ + ":7400", std::string("--token-file"),
          stack_->folder() + "/tokens/operator.token", std::string("--ca"), Pem("ca.pem"),
          std::string("--certificate"), Pem("client.pem"), std::string("--key"), Pem("client.key")})
      words.push_back(word);
    return cli::Run({.argv = std::move(words)});
  }
  // The command of an invite, on the host, whose files are in `folder`.
  std::vector<std::string> OnHost(const std::string& command, const std::string& folder) const {
    std::vector<std::string> argv = {"ip", "netns", "exec", host_};
    for (const absl::string_view word : absl::StrSplit(command, ' ', absl::SkipEmpty()))
      argv.emplace_back(word);
    argv[4] = cli::ProgramPath("backflip");
    for (const std::string& word :
         {std::string("--folder"), folder, std::string("--threads"), std::string("2")})
      argv.push_back(word);
    return argv;
  }
  // The rollout-worker there.
  pid_t Worker() const {
    const auto pids = cli::Run({.argv = {"ip", "netns", "pids", host_}});
    for (const absl::string_view line : absl::StrSplit(pids.value_or(""), '\n')) {
      pid_t pid = 0;
      std::string name;
      std::ifstream(absl::StrCat("/proc/", line, "/comm")) >> name;
      if (name == "rollout-worker" && absl::SimpleAtoi(line, &pid)) return pid;
    }
    return 0;
  }
  int64_t Iterations(int64_t run_id) const {
    const auto run = stack_->broker().Watch(run_id, 0, absl::ZeroDuration());
    EXPECT_TRUE(run.ok()) << run.status();
    return run.ok() ? run->iterations() : -1;
  }

  std::string host_, link_, address_;
  std::unique_ptr<Stack> stack_;
  std::vector<pid_t> pids_;
};

TEST_F(WorkerHost, IsJoinedByOneCommandAndCutOffByOneCommand) {
  v1::RunSpec spec;
  spec.set_reward(v1::TRUE);
  spec.set_steps(10'000'000);
  spec.mutable_collection()->set_environments(4);
  spec.mutable_collection()->set_batch_steps(800);
  const auto run = stack_->Create("hopper_backflip_guided", spec);
  ASSERT_TRUE(run.ok()) << run.status();

  const auto invite = Backflip({"worker", "invite", "host-7"});
  ASSERT_TRUE(invite.ok()) << invite.status();
  const std::string command(
      absl::StripAsciiWhitespace(invite->substr(invite->find("backflip worker join"))));
  ASSERT_THAT(command, HasSubstr(address_ + ":7400 --token "));
  const std::string folder = stack_->folder() + "/host";
  const std::vector<std::string> join = OnHost(command, folder);
  const auto host =
      cli::Spawn({.argv = join, .log_file = LogFile("host"), .dies_with_parent = true});
  ASSERT_TRUE(host.ok()) << host.status();
  pids_.push_back(*host);
  const auto learning =
      stack_->Await(run->id(), [](const v1::Run& now) { return now.iterations() >= 3; });
  ASSERT_TRUE(learning.ok()) << learning.status();
  EXPECT_THAT(*Backflip({"worker", "list"}), HasSubstr(absl::StrCat("run ", run->id())));

  // it sleeps while it is revoked, and then goes on with what it has
  const pid_t worker = Worker();
  ASSERT_GT(worker, 0);
  ASSERT_EQ(kill(worker, SIGSTOP), 0);
  const auto revoke = Backflip({"worker", "revoke", "host-7"});
  ASSERT_TRUE(revoke.ok()) << revoke.status();
  ASSERT_TRUE(Await([&] { return absl::StrContains(Log("learner"), "accepted no more"); }));
  const int64_t before = Iterations(run->id());
  ASSERT_EQ(kill(worker, SIGCONT), 0);
  int status = 0;
  ASSERT_TRUE(Await([&] { return waitpid(*host, &status, WNOHANG) == *host; }));
  pids_.pop_back();
  EXPECT_NE(status, 0);
  EXPECT_THAT(Log("host"), HasSubstr("revoked"));
  EXPECT_EQ(Iterations(run->id()), before);
  EXPECT_THAT(*Backflip({"worker", "list"}), HasSubstr("cut off"));

  // neither with what it has kept, nor as if it were another one
  for (const std::string& files : {folder, stack_->folder() + "/again"}) {
    const auto again = cli::Run({.argv = OnHost(command, files)});
    EXPECT_FALSE(again.ok()) << *again;
    EXPECT_THAT(std::string(again.status().message()), HasSubstr("revoked"));
  }
  EXPECT_EQ(Iterations(run->id()), before);
}

}  // namespace
}  // namespace backflip::testing
