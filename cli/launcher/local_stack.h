// The stack on one machine: database, broker, and what serves a run.
#ifndef BACKFLIP_CLI_LAUNCHER_LOCAL_STACK_H_
#define BACKFLIP_CLI_LAUNCHER_LOCAL_STACK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/launcher/pages.h"
#include "cli/launcher/private_postgres.h"
#include "cli/launcher/service_process.h"
#include "cli/launcher/subprocess.h"
#include "common/base/mutex.h"
#include "common/rpc/client.h"

namespace backflip::cli {

// Processes are started again when they crash, and all of them end with this
// object and with our process, however it ends; only the private PostgreSQL
// outlives a kill, to be adopted by the next stack on the same folder.
// Everything listens on Unix sockets in a folder that only the caller can enter. What root starts
// runs as users of their own: PostgreSQL, and the services (ServiceUser). The methods are for one
// thread.
class LocalStack {
 public:
  struct Options {
    // Data folder: database, tokens, logs. One stack at a time.
    std::string data;
    // libpq URL; empty: a private PostgreSQL in the data folder.
    std::string database;
    // Set: pages for people are served, too.
    std::optional<PagesOptions> pages;
  };
  // Which processes serve a run, and how.
  struct Serving {
    int64_t run_id = 0;
    // Rollout-worker threads.
    int threads = 1;
    // Whether the run learns from comparisons, hence needs a trainer.
    bool preferences = true;
    // Names of simulated teachers. Several of them are labelers of their own, each with a name and
    // a token.
    std::vector<std::string> teachers;
    // Of each teacher; 0: as fast as possible.
    double labels_per_minute = 0;
    uint64_t seed = 1;
  };

  // Starts the database, brings its schema up to date, makes the tokens, and
  // starts the broker. `stop` (may be null) ends the wait. Blocks.
  static absl::StatusOr<std::unique_ptr<LocalStack>> Start(const Options& options,
                                                           const std::function<bool()>& stop);
  // Stop.
  ~LocalStack();
  LocalStack(const LocalStack&) = delete;
  LocalStack& operator=(const LocalStack&) = delete;

  // The database is this stack's alone, and so are all runs in it.
  bool private_database() const { return postgres_ != nullptr; }

  // URL of the pages, without a slash at the end; empty: none are served.
  const std::string& pages_url() const { return pages_url_; }

  // The broker, as an operator.
  const rpc::Client& broker() const { return *broker_; }

  // Starts learner, trainer, worker and teachers.
  absl::Status Serve(const Serving& serving);

  // OK, or why the stack cannot go on.
  absl::Status Failure();
  // Sentences about what crashed and was started again since the last call.
  std::vector<std::string> TakeEvents();

  // Drains and ends what Serve started, so that it saves its work; the broker
  // stays. Idempotent. Blocks, for 20 seconds at most.
  void StopServing();

  // Drains and ends everything, writers before what they write to.
  // Idempotent. Blocks, for half a minute at most.
  void Stop();

 private:
  LocalStack() = default;
  absl::Status StartBroker(const std::function<bool()>& stop);
  // `name`: of the process and of its log.
  void Add(const std::string& program, const std::string& token, std::vector<std::string> arguments,
           std::string name = "");
  // Makes a teacher of this name, unless its token is there already.
  absl::Status MakeTeacherToken(const std::string& name);
  void WatchDatabase();
  // Whether the services' user may do what `test` calls this: "-x" or "-r".
  bool UserMay(const std::string& what, const std::string& path) const;
  // Gives a file or a folder to the services' user, where they have one.
  void HandOver(const std::string& path) const;

  Options options_;
  // Whom services run as, where that is not ourselves.
  std::optional<User> user_;
  std::string sockets_;
  std::string pages_url_;
  int lock_fd_ = -1;
  std::unique_ptr<PrivatePostgres> postgres_;
  std::unique_ptr<rpc::Client> broker_;
  std::unique_ptr<ServiceProcess> broker_process_;
  std::vector<std::unique_ptr<ServiceProcess>> services_;

  base::Mutex mutex_;
  base::CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status database_failure_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> events_ ABSL_GUARDED_BY(mutex_);
  std::thread database_watcher_;
};

// Applies migrations to `database` and makes the tokens in `data`/tokens.
absl::StatusOr<std::string> Migrate(const std::string& database, const std::string& data);

// What `preference-broker inspect` says of it; changes nothing.
absl::StatusOr<std::string> InspectDatabase(const std::string& database);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_LAUNCHER_LOCAL_STACK_H_
