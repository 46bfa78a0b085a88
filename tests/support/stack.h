// The real programs on a database of their own, for tests that break them.
#ifndef BACKFLIP_TESTS_SUPPORT_STACK_H_
#define BACKFLIP_TESTS_SUPPORT_STACK_H_

#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "backflip/v1/run.pb.h"
#include "cli/launcher/private_postgres.h"
#include "common/client/broker_client.h"
#include "common/rpc/client.h"
#include "tests/support/wire.h"

namespace backflip::testing {

enum class Program {
  kBroker,
  kLearner,
  kTrainer,
  kWorker,
  kTeacher,
  kSecondLearner,
  kSecondTrainer,
  kSecondWorker,
};

// Options of a run in batches of 800 steps, the last policy of which is kept.
v1::RunSpec ShortRun(int labels, int batches);

inline bool Finished(const v1::Run& run) { return run.state() == v1::FINISHED; }

struct StackOptions {
  // URL of a database that is there; empty: a temporary one of the stack's own.
  std::string database;
  // Folder for the data of the stack's own database, which stays; empty: a temporary one.
  std::string database_folder;
  // Whether programs reach each other, and the broker its database, by wires.
  bool wires = false;
  // Given to every program.
  std::vector<std::string> flags;
  // Given to the broker besides.
  std::vector<std::string> broker_flags;
};

// Programs are those beside the test's own. Nothing is started again by itself,
// and nothing outlives the object. For one thread.
class Stack {
 public:
  // A temporary database, migrated, and the broker, healthy.
  static absl::StatusOr<std::unique_ptr<Stack>> Start(StackOptions options = {});
  // Kills everything.
  ~Stack();

  // Starts a program; its log goes on where it ended.
  absl::Status StartProgram(Program program);
  // One of each beside the broker: two worker threads, an oracle.
  absl::Status StartServing();
  bool Runs(Program program) const { return running_.count(program) > 0; }
  // Of a running program.
  pid_t Pid(Program program) const { return running_.at(program); }
  // kill -9. The program must be running.
  void Kill(Program program);
  // SIGTERM; waits until it has ended by itself, with code 0.
  absl::Status Drain(Program program);

  // Of the stack's own database. Stop is that of `systemctl stop`: it cuts all sessions.
  absl::Status StopDatabase() { return postgres_->Stop(); }
  absl::Status StartDatabase() { return postgres_->Restart(); }
  absl::Status RestartDatabase();
  // All its processes stay where they are, or go on: SIGSTOP and SIGCONT.
  void FreezeDatabase() const { SignalDatabase(SIGSTOP); }
  void ThawDatabase() const { SignalDatabase(SIGCONT); }
  // Blocks until the broker's health says that it serves, or that it does not. DEADLINE_EXCEEDED
  // after kPatience.
  absl::Status AwaitServing(bool serves) const;

  // Of a stack with wires. From a program to the broker; from the broker to its database; from the
  // worker to the learner.
  Wire& WireToBroker(Program program) { return *wires_.at(program); }
  Wire& WireToDatabase() { return *database_wire_; }
  Wire& WireToLearner() { return *learner_wire_; }

  // Puts a fresh teacher in place, whose acknowledged answers are counted from now on.
  absl::Status CountAnswers();
  // Drains it, and leaves none. OK where each of these answers is a label, no other label has come,
  // none is there twice, and the feeds have no gaps.
  absl::Status CheckAnswers();

  const client::BrokerClient& broker() const { return *operator_; }
  // The broker, as somebody of this role.
  absl::StatusOr<rpc::Client> ClientOf(const std::string& role) const;

  // Queues a run of a task that comes with the programs, or of a task folder:
  // `layer` over the task's defaults.
  absl::StatusOr<v1::Run> Create(const std::string& task, const v1::RunSpec& layer);
  // Blocks until `condition` holds of the run. DEADLINE_EXCEEDED after kPatience, INTERNAL when
  // a program has ended.
  absl::StatusOr<v1::Run> Await(int64_t run_id,
                                const std::function<bool(const v1::Run&)>& condition);

  const std::string& folder() const { return folder_; }
  // The database's URL.
  const std::string& database() const { return database_; }

  // What psql prints: values separated by |, rows by line ends.
  std::string Sql(const std::string& query) const;
  // All whole lines that a program has logged.
  std::string Log(Program program) const;
  // How the logs in the folder end, the tests' own (*.log) too.
  std::string Logs() const;
  // Those, to standard error, where the test that runs has failed; the end of a stack does so, too.
  void PrintLogsOfAFailure() const;

 private:
  Stack() = default;
  absl::Status StartDatabase(const StackOptions& options);
  absl::Status LayWires();
  // The broker's arguments that name its database, or a program's that name the broker.
  std::vector<std::string> Reaching(Program program) const;
  void SignalDatabase(int signal) const;

  std::unique_ptr<cli::PrivatePostgres> postgres_;
  std::string folder_, database_;
  std::vector<std::string> flags_;
  std::vector<std::string> broker_flags_;
  int64_t labels_before_ = 0;
  std::map<Program, std::unique_ptr<Wire>> wires_;
  std::unique_ptr<Wire> database_wire_, learner_wire_;
  std::map<Program, pid_t> running_;
  std::unique_ptr<client::BrokerClient> operator_;
};

}  // namespace backflip::testing

#endif  // BACKFLIP_TESTS_SUPPORT_STACK_H_
