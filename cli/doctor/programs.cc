#include <unistd.h>

#include <cstdlib>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "cli/doctor/checks.h"
#include "cli/launcher/local_stack.h"
#include "cli/launcher/subprocess.h"
#include "common/base/version.h"

namespace backflip::cli {
namespace {

constexpr const char* kPrograms[] = {"preference-broker", "policy-learner", "reward-trainer",
                                     "rollout-worker",    "labeler",        "task-trial"};
// Sessions, leases and pauses go by the database's clock.
constexpr int64_t kClockWarningMs = 2'000, kClockErrorMs = 60'000;

// Lines of a name, a space and a value.
std::map<std::string, std::string> Values(absl::string_view text) {
  std::map<std::string, std::string> values;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(line, absl::MaxSplits(' ', 1));
    values.insert(parts);
  }
  return values;
}

int64_t Number(const std::string& text) {
  int64_t number = 0;
  (void)absl::SimpleAtoi(text, &number);
  return number;
}

}  // namespace

Findings ComparePrograms(const std::vector<std::pair<std::string, std::string>>& versions) {
  Findings findings;
  const auto ours = Values(base::VersionText());
  std::string blas;
  bool same = true;
  for (const auto& [program, text] : versions) {
    const auto theirs = Values(text);
    // two commits may well fit together
    for (const auto& [part, level] :
         {std::pair{"backflip", Level::kError}, std::pair{"commit", Level::kWarning},
          std::pair{"protocol", Level::kError}, std::pair{"MuJoCo", Level::kError}}) {
      const auto of_ours = ours.find(part), of_theirs = theirs.find(part);
      if (of_ours == ours.end() || of_theirs == theirs.end() ||
          of_ours->second == of_theirs->second) {
        continue;
      }
      same = false;
      findings.push_back({level, "programs",
                          absl::StrCat(program, " has ", part, " ", of_theirs->second,
                                       ", and this program ", of_ours->second),
                          "build or install all programs anew, from one commit"});
    }
    if (const auto library = theirs.find("BLAS"); library != theirs.end()) blas = library->second;
  }
  if (same) {
    findings.push_back({Level::kOk, "programs",
                        std::string(absl::StripSuffix(
                            absl::StrReplaceAll(base::VersionText(), {{"\n", ", "}}), ", "))});
  }
  if (absl::StrContains(blas, "/blas/libblas.so")) {
    findings.push_back({Level::kWarning, "BLAS",
                        absl::StrCat("LibTorch uses the reference library, ", blas,
                                     ", with which training takes five times as long"),
                        "install libopenblas0-serial"});
  } else if (!blas.empty()) {
    findings.push_back(
        {Level::kOk, "BLAS",
         absl::StrCat("LibTorch uses ", blas, "; Eigen has matrix products of its own")});
  }
  return findings;
}

Findings CheckPrograms(const std::string& folder) {
  Findings findings;
  std::vector<std::pair<std::string, std::string>> versions;
  std::vector<std::string> missing;
  for (const char* program : kPrograms) {
    const std::string path = absl::StrCat(folder, "/", program);
    if (access(path.c_str(), X_OK) != 0) {
      missing.push_back(program);
      continue;
    }
    const auto text = Run({.argv = {path, "--version"}});
    if (text.ok()) {
      versions.emplace_back(program, *text);
    } else {
      findings.push_back({Level::kError, "programs", std::string(text.status().message()),
                          "install the libraries that it names"});
    }
  }
  if (!missing.empty()) {
    findings.push_back({Level::kWarning, "programs",
                        absl::StrCat("not in ", folder, ": ", absl::StrJoin(missing, ", ")),
                        "install them there if a stack is to be started on this machine"});
  }
  const Findings compared = ComparePrograms(versions);
  findings.insert(findings.end(), compared.begin(), compared.end());
  return findings;
}

Findings ReadInspection(absl::string_view text) {
  auto values = Values(text);
  const auto number = [&](const char* name) { return Number(values[name]); };
  Findings findings;
  findings.push_back(
      {Level::kOk, "database",
       absl::StrCat("PostgreSQL ", values["server_version"], ", ", number("bytes") >> 20, " MiB")});
  const int64_t have = number("schema"), known = number("schema_known");
  findings.push_back(
      {have == known  ? Level::kOk
       : have < known ? Level::kWarning
                      : Level::kError,
       "migrations", absl::StrCat(have, " of the ", known, " that these programs know"),
       have == known  ? ""
       : have < known ? "run `preference-broker migrate` (a stack on this machine does it itself)"
                      : "a newer version has made this database: use that"});
  const bool lasts = values["fsync"] == "on" && values["synchronous_commit"] != "off";
  findings.push_back({lasts ? Level::kOk : Level::kError, "durability",
                      absl::StrCat("synchronous_commit ", values["synchronous_commit"], ", fsync ",
                                   values["fsync"]),
                      lasts ? ""
                            : "set both to on in postgresql.conf: a crash loses labels that were "
                              "acknowledged"});
  const int64_t ahead = number("clock_ahead_ms");
  const int64_t off = std::abs(ahead);
  findings.push_back(
      {off > kClockErrorMs     ? Level::kError
       : off > kClockWarningMs ? Level::kWarning
                               : Level::kOk,
       "clock",
       absl::StrCat("the database's is ", off, " ms ", ahead < 0 ? "behind" : "ahead of", " ours"),
       off > kClockWarningMs ? "set both clocks by NTP: leases, sessions and tokens "
                               "end by the database's"
                             : ""});
  if (!values["data_directory"].empty()) {
    findings.push_back(
        CheckDisk("database's disk", values["data_directory"], 0, absl::Now(), absl::Now()));
  }
  return findings;
}

Findings CheckDatabase(const std::string& url) {
  const absl::StatusOr<std::string> text = InspectDatabase(url);
  if (text.ok()) return ReadInspection(*text);
  return {{Level::kError, "database", std::string(text.status().message()),
           "start PostgreSQL, or name another database with --database-url"}};
}

}  // namespace backflip::cli
