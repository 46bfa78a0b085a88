// Learners in containers of their own, which all listen at the same port of their own networks:
// each is reached under its own address. Networks are the kernel's, which only root can make.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/launcher/paths.h"
#include "cli/launcher/subprocess.h"
#include "common/rpc/server.h"
#include "tests/support/stack.h"

namespace backflip::testing {
namespace {

absl::Status Sh(const std::string& command) {
  return cli::Run({.argv = {"sh", "-ec", command}}).status();
}

// Hosts 10.0.0.1, 10.0.0.2 and so on in a network of their own, and programs on them.
class Hosts {
 public:
  ~Hosts() {
    for (const pid_t pid : programs_) kill(pid, SIGKILL);
    for (const pid_t pid : programs_) waitpid(pid, nullptr, 0);
    for (int i = 0; i <= count_; ++i) (void)Sh(absl::StrCat("ip netns del ", Name(i)));
  }
  absl::Status Make(int count) {
    const std::string hub = Name(0);
    absl::Status made =
        Sh(absl::StrCat("ip netns add ", hub, "; ip -n ", hub, " link add hub type bridge; ip -n ",
                        hub, " link set hub up"));
    for (int i = 1; i <= count && made.ok(); ++i) {
      const std::string host = Name(i);
      made = Sh(absl::StrCat("ip netns add ", host, "; ip -n ", hub, " link add p", i,
                             " type veth peer name eth0 netns ", host, "; ip -n ", hub,
                             " link set p", i, " master hub up; ip -n ", host, " addr add 10.0.0.",
                             i, "/24 dev eth0; ip -n ", host, " link set eth0 up; ip -n ", host,
                             " link set lo up"));
      count_ = i;
    }
    return made;
  }
  void Start(int host, const std::string& program, const std::string& log,
             std::vector<std::string> arguments) {
    std::vector<std::string> argv = {"ip", "netns", "exec", Name(host), cli::ProgramPath(program)};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    const auto pid =
        cli::Spawn({.argv = std::move(argv), .log_file = log, .dies_with_parent = true});
    ASSERT_TRUE(pid.ok()) << pid.status();
    programs_.push_back(*pid);
  }

 private:
  static std::string Name(int host) { return absl::StrCat("backflip-", getpid(), "-", host); }

  int count_ = 0;
  std::vector<pid_t> programs_;
};

TEST(SeveralLearners, AreReachedUnderAddressesOfTheirOwn) {
  Hosts hosts;
  if (const absl::Status made = hosts.Make(5); !made.ok()) {
    GTEST_SKIP() << "networks of their own take root, and `ip`: " << made;
  }
  auto started = Stack::Start();
  ASSERT_TRUE(started.ok()) << started.status();
  Stack& stack = **started;
  std::vector<int64_t> runs;
  for (const int labels : {10, 12}) {
    const auto run = stack.Create("hopper_backflip_guided", ShortRun(labels, 20));
    ASSERT_TRUE(run.ok()) << run.status();
    runs.push_back(run->id());
  }
  const std::string broker = "10.0.0.1:7400";
  hosts.Start(1, "preference-broker", stack.folder() + "/host1.log",
              {"serve", "--database_url=" + stack.database(), "--listen=" + broker, "--insecure"});
  const auto start = [&](int host, const std::string& program, const std::string& role,
                         std::vector<std::string> arguments) {
    arguments.insert(arguments.end(),
                     {"--broker=" + broker, "--insecure",
                      absl::StrCat("--token-file=", stack.folder(), "/tokens/", role, ".token")});
    hosts.Start(host, program, absl::StrCat(stack.folder(), "/host", host, ".log"), arguments);
  };
  for (const int host : {2, 3}) start(host, "policy-learner", "learner", {"--listen=0.0.0.0:7500"});
  // before one of them can end its run and take the other's
  const auto claimed = stack.Await(runs[0], [&](const v1::Run&) {
    return stack.Sql("SELECT count(*) FROM claims WHERE role = 'learner'") == "2";
  });
  ASSERT_TRUE(claimed.ok()) << claimed.status();
  for (const int host : {4, 5}) start(host, "rollout-worker", "worker", {"--threads=1"});
  for (const Program program : {Program::kTrainer, Program::kSecondTrainer, Program::kTeacher}) {
    ASSERT_TRUE(stack.StartProgram(program).ok());
  }
  for (const int64_t run : runs) {
    const auto served = stack.Await(run, [](const v1::Run& r) { return r.iterations() >= 3; });
    ASSERT_TRUE(served.ok()) << served.status();
  }
  EXPECT_EQ(stack.Sql("SELECT string_agg(advertise, ' ' ORDER BY advertise) FROM claims "
                      "WHERE role = 'learner'"),
            "10.0.0.2:7500 10.0.0.3:7500");
}

}  // namespace
}  // namespace backflip::testing
