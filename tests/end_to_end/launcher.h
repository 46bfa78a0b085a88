// `backflip` as it is started at a terminal, and people who open the links that it prints and
// answer.
#ifndef BACKFLIP_TESTS_END_TO_END_LAUNCHER_H_
#define BACKFLIP_TESTS_END_TO_END_LAUNCHER_H_

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/launcher/private_postgres.h"

namespace backflip::testing {

// A data folder and a database of its own. One command at a time stays.
class Launcher {
 public:
  static absl::StatusOr<std::unique_ptr<Launcher>> Make();
  // Kills what was started. Where the test has failed it prints how the services' logs end.
  ~Launcher();

  const std::filesystem::path& folder() const { return folder_; }
  // A flag that names a new RunSpec file of this text.
  std::string Spec(const std::string& text);
  // One value of a query.
  std::string Sql(const std::string& query) const;

  // Runs a command to its end; fails where it fails.
  absl::StatusOr<std::string> Run(std::vector<std::string> words) const;
  // Starts a command that stays.
  absl::Status Start(std::vector<std::string> words);
  // What it has printed so far.
  std::string Printed() const;
  // Whether it prints this before it ends.
  bool Prints(const std::string& text);
  // The link to the labeling page that it printed; empty: none.
  std::string Link() const;
  // Whether it has ended.
  bool Ended();
  void Interrupt() const;
  // Waits for its end; returns its exit code, and -1 where it had to be killed.
  int Wait();

 private:
  Launcher() = default;
  std::vector<std::string> Command(std::vector<std::string> words) const;
  void PrintLogs() const;

  std::unique_ptr<cli::PrivatePostgres> postgres_;
  std::filesystem::path folder_;
  std::string log_;
  int starts_ = 0;
  int specs_ = 0;
  pid_t pid_ = 0;
  int status_ = 0;
};

// Somebody with an invite, over HTTP with JSON, as docs/protocol.md has it.
class Person {
 public:
  // Presses Start behind a link. `curl`: flags that reaching it takes.
  static absl::StatusOr<Person> Accept(const std::string& link, std::vector<std::string> curl = {});

  // Answers left and right by turns, faster than clips play, until `count` are
  // given; waits for questions.
  absl::Status Answer(int count);
  // Answers whatever comes until `enough`; returns how many there were. A broker that goes
  // meanwhile is no error.
  absl::StatusOr<int> AnswerUntil(const std::function<bool()>& enough);

 private:
  Person() = default;
  absl::StatusOr<nlohmann::json> Call(const std::string& method,
                                      const nlohmann::json& request) const;
  // Leases, waiting for a moment, and answers what came; returns how many.
  absl::StatusOr<int> AnswerSome();

  std::string url_, token_;
  std::vector<std::string> curl_;
  int answers_ = 0;
};

}  // namespace backflip::testing

#endif  // BACKFLIP_TESTS_END_TO_END_LAUNCHER_H_
