#include "tests/end_to_end/launcher.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "cli/launcher/paths.h"
#include "cli/launcher/subprocess.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"

namespace backflip::testing {

using nlohmann::json;

absl::StatusOr<std::unique_ptr<Launcher>> Launcher::Make() {
  std::unique_ptr<Launcher> launcher(new Launcher());
  ASSIGN_OR_RETURN(launcher->postgres_, cli::PrivatePostgres::StartTemporary());
  char folder[] = "/tmp/backflip-launcher-XXXXXX";
  if (mkdtemp(folder) == nullptr) return absl::InternalError("cannot make a folder in /tmp");
  launcher->folder_ = folder;
  return launcher;
}

Launcher::~Launcher() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    Wait();
  }
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

std::string Launcher::Spec(const std::string& text) {
  const std::string file = (folder_ / absl::StrCat("spec", ++specs_, ".textproto")).string();
  std::ofstream(file) << text;
  return absl::StrCat("--spec=", file);
}

std::string Launcher::Sql(const std::string& query) const {
  const auto output = cli::Run({.argv = {"psql", "-XAtc", query, postgres_->url()}});
  if (!output.ok()) return absl::StrCat("psql: ", std::string(output.status().message()));
  return std::string(absl::StripSuffix(*output, "\n"));
}

std::vector<std::string> Launcher::Command(std::vector<std::string> words) const {
  words.insert(words.begin(), cli::ProgramPath("backflip"));
  words.push_back(absl::StrCat("--data=", (folder_ / "data").string()));
  words.push_back(absl::StrCat("--database-url=", postgres_->url()));
  return words;
}

absl::StatusOr<std::string> Launcher::Run(std::vector<std::string> words) const {
  return cli::Run({.argv = Command(std::move(words))});
}

absl::Status Launcher::Start(std::vector<std::string> words) {
  log_ = (folder_ / absl::StrCat("output", ++starts_)).string();
  ASSIGN_OR_RETURN(pid_, cli::Spawn({.argv = Command(std::move(words)), .log_file = log_}));
  return absl::OkStatus();
}

std::string Launcher::Printed() const {
  std::stringstream text;
  text << std::ifstream(log_).rdbuf();
  return text.str();
}

bool Launcher::Prints(const std::string& text) {
  const absl::Time give_up = absl::Now() + kPatience;
  while (!absl::StrContains(Printed(), text)) {
    if (absl::Now() > give_up) return false;
    // a program that has ended has written all its output
    if (Ended()) return absl::StrContains(Printed(), text);
    absl::SleepFor(absl::Milliseconds(20));
  }
  return true;
}

std::string Launcher::Link() const {
  const std::string printed = Printed();
  const size_t middle = printed.find("/#invite=");
  if (middle == std::string::npos) return "";
  const size_t begin = printed.rfind("http", middle);
  return printed.substr(begin, printed.find('\n', middle) - begin);
}

bool Launcher::Ended() {
  if (pid_ > 0 && waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = 0;
  return pid_ == 0;
}

void Launcher::Interrupt() const { kill(pid_, SIGINT); }

int Launcher::Wait() {
  if (pid_ > 0) waitpid(std::exchange(pid_, 0), &status_, 0);
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;
}

absl::StatusOr<Person> Person::Accept(const std::string& link, std::vector<std::string> curl) {
  constexpr char kInvite[] = "/#invite=";
  const size_t middle = link.find(kInvite);
  if (middle == std::string::npos) return absl::InvalidArgumentError("no link: " + link);
  Person person;
  person.url_ = link.substr(0, middle);
  person.curl_ = std::move(curl);
  const std::string secret = link.substr(middle + sizeof(kInvite) - 1);
  ASSIGN_OR_RETURN(const json accepted, person.Call("PeopleService/AcceptInvite",
                                                    {{"secret", secret.substr(0, secret.find('&'))},
                                                     {"requestId", base::RandomHex128()}}));
  if (accepted.value("role", "") != "INVITE_LABELER") {
    return absl::InternalError("not invited to label: " + accepted.dump());
  }
  person.token_ = accepted.value("token", "");
  return person;
}

absl::StatusOr<json> Person::Call(const std::string& method, const json& request) const {
  std::vector<std::string> argv = {"curl",
                                   "-sS",
                                   "--fail-with-body",
                                   "-H",
                                   "Content-Type: application/json",
                                   "-d",
                                   request.dump(),
                                   absl::StrCat(url_, "/backflip.v1.", method)};
  if (!token_.empty())
    argv.insert(argv.end(), {"-H", absl::StrCat("Authorization: Bearer ", token_)});
  argv.insert(argv.end(), curl_.begin(), curl_.end());
  ASSIGN_OR_RETURN(const std::string response, cli::Run({.argv = argv}));
  json parsed = json::parse(response, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return absl::InternalError(absl::StrCat(method, ": ", response));
  return parsed;
}

absl::StatusOr<int> Person::AnswerSome() {
  ASSIGN_OR_RETURN(const json lease, Call("LabelingService/Lease", {{"waitMs", 1000}}));
  const json questions = lease.value("questions", json::array());
  for (const json& question : questions) {
    const json answer = {
        {"leaseId", question.value("leaseId", "")},
        {"idempotencyKey", base::RandomHex128()},
        {"answer", {{"choice", answers_ % 2 == 0 ? "LEFT" : "RIGHT"}}},
        {"timing", {{"decisionMs", 4000}, {"activeMs", 4000}, {"loops", 2}}},
    };
    RETURN_IF_ERROR(Call("LabelingService/Submit", answer).status());
    ++answers_;
  }
  return static_cast<int>(questions.size());
}

absl::Status Person::Answer(int count) {
  const absl::Time give_up = absl::Now() + kPatience;
  while (count > 0) {
    if (absl::Now() > give_up) return absl::DeadlineExceededError("waited for questions in vain");
    ASSIGN_OR_RETURN(const int given, AnswerSome());
    count -= given;
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Person::AnswerUntil(const std::function<bool()>& enough) {
  const absl::Time give_up = absl::Now() + kPatience;
  int count = 0;
  while (!enough()) {
    if (absl::Now() > give_up) return absl::DeadlineExceededError("the end does not come");
    const absl::StatusOr<int> given = AnswerSome();
    if (given.ok()) {
      count += *given;
    } else if (enough()) {
      break;
    } else if (!absl::StrContains(given.status().message(), "Failed to connect") &&
               !absl::StrContains(given.status().message(), "Empty reply")) {
      return given.status();
    }
  }
  return count;
}

}  // namespace backflip::testing
