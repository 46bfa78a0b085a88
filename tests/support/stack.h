// The real programs on a database of their own, for tests that break them.
#ifndef BACKFLIP_TESTS_SUPPORT_STACK_H_
#define BACKFLIP_TESTS_SUPPORT_STACK_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "backflip/v1/run.pb.h"
#include "cli/launcher/private_postgres.h"
#include "common/client/broker_client.h"
#include "common/rpc/client.h"

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

// Programs are those beside the test's own. Nothing is started again by itself,
// and nothing outlives the object. For one thread.
class Stack {
 public:
  // A temporary database, migrated, and the broker, healthy. `flags`: of every program.
  static absl::StatusOr<std::unique_ptr<Stack>> Start(std::vector<std::string> flags = {});
  // Kills everything.
  ~Stack();

  // Starts a program; its log goes on where it ended.
  absl::Status StartProgram(Program program);
  // One of each beside the broker: two worker threads, an oracle.
  absl::Status StartServing();
  // Of a running program.
  pid_t Pid(Program program) const { return running_.at(program); }
  // kill -9. The program must be running.
  void Kill(Program program);
  // SIGTERM; waits until it has ended by itself, with code 0.
  absl::Status Drain(Program program);

  // Stops PostgreSQL as `systemctl restart` does, cutting all sessions, and
  // starts it again.
  absl::Status RestartDatabase();

  const client::BrokerClient& broker() const { return *operator_; }
  // The broker, as somebody of this role.
  absl::StatusOr<rpc::Client> ClientOf(const std::string& role) const;

  // Queues a run of a task that comes with the programs, or of a task folder:
  // `layer` over the task's defaults.
  absl::StatusOr<v1::Run> Create(const std::string& task, const v1::RunSpec& layer);
  // Blocks until `condition` holds of the run. DEADLINE_EXCEEDED after two
  // minutes, INTERNAL when a program has ended: both quote the logs.
  absl::StatusOr<v1::Run> Await(int64_t run_id,
                                const std::function<bool(const v1::Run&)>& condition);

  // What psql prints: values separated by |, rows by line ends.
  std::string Sql(const std::string& query) const;
  // All that a program has logged.
  std::string Log(Program program) const;

 private:
  Stack() = default;
  std::string Tails() const;

  std::unique_ptr<cli::PrivatePostgres> postgres_;
  std::string folder_;
  std::vector<std::string> flags_;
  std::map<Program, pid_t> running_;
  std::unique_ptr<client::BrokerClient> operator_;
};

}  // namespace backflip::testing

#endif  // BACKFLIP_TESTS_SUPPORT_STACK_H_
