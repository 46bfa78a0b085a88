#include "tests/end_to_end/launcher.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cli/launcher/paths.h"
#include "cli/launcher/subprocess.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "tests/support/await.h"

namespace backflip::testing {

using nlohmann::json;

namespace {

std::string Read(const std::filesystem::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Launcher>> Launcher::Make() {
  std::unique_ptr<Launcher> launcher(new Launcher());
  ASSIGN_OR_RETURN(launcher->postgres_, cli::PrivatePostgres::StartTemporary());
  char folder[] = "/tmp/backflip-launcher-XXXXXX";
  if (mkdtemp(folder) == nullptr) return absl::InternalError("cannot make a folder in /tmp");
  launcher->folder_ = folder;
  return launcher;
}

Launcher::~Launcher() {
  if (::testing::Test::HasFailure()) PrintLogs();
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

std::string Launcher::Printed() const { return Read(log_); }

void Launcher::PrintLogs() const {
  constexpr size_t kTail = 4000;
  std::vector<std::filesystem::path> files = {log_};
  std::error_code none_yet;
  for (const auto& log : std::filesystem::directory_iterator(folder_ / "data/logs", none_yet)) {
    files.push_back(log.path());
  }
  for (const std::filesystem::path& file : files) {
    const std::string log = Read(file);
    std::cerr << "--- the end of " << file.filename().string() << "\n"
              << log.substr(log.size() - std::min(log.size(), kTail)) << std::endl;
  }
}

bool Launcher::Prints(const std::string& text) {
  bool printed = false;
  return Await([&] {
           // a program that has ended has written all its output
           const bool ended = Ended();
           printed = absl::StrContains(Printed(), text);
           return printed || ended;
         }) &&
         printed;
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
  if (pid_ > 0 && !Await([this] { return Ended(); })) {
    kill(pid_, SIGKILL);
    waitpid(std::exchange(pid_, 0), &status_, 0);
  }
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
  absl::Status status;
  const bool given = Await([&] {
    const absl::StatusOr<int> some = AnswerSome();
    status = some.status();
    count -= some.value_or(0);
    return count <= 0 || !status.ok();
  });
  return given ? status : absl::DeadlineExceededError("waited for questions in vain");
}

absl::StatusOr<int> Person::AnswerUntil(const std::function<bool()>& enough) {
  absl::Status status;
  int count = 0;
  const bool came = Await([&] {
    const absl::StatusOr<int> some = AnswerSome();
    count += some.value_or(0);
    if (enough()) return true;
    // Of curl's codes: connections that are refused (7) or end (52, 56), and a broker that ends
    // while it is asked (22).
    status = some.status();
    const absl::string_view said = status.message();
    const bool gone = absl::StrContains(said, "code 7:") || absl::StrContains(said, "code 52:") ||
                      absl::StrContains(said, "code 56:") ||
                      absl::StrContains(said, "\"code\":\"unavailable\"");
    return !status.ok() && !gone;
  });
  if (!came) return absl::DeadlineExceededError("the end does not come");
  if (!enough()) return status;
  return count;
}

}  // namespace backflip::testing
