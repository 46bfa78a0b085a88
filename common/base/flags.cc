#include "common/base/flags.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/base/nearest.h"
#include "common/base/status_macros.h"

namespace backflip::base {
namespace {

constexpr absl::string_view kPrefix = "BACKFLIP_";

// Flags of all programs that may stand in an environment, and variables of docker-compose.yml and
// of the tests. (tests/support/check_flags.py compares.)
constexpr absl::string_view kKnown[] = {"advertise",
                                        "broker",
                                        "build",
                                        "ca",
                                        "cache",
                                        "certificate",
                                        "commit",
                                        "count",
                                        "data",
                                        "database_connections",
                                        "database_url",
                                        "http_listen",
                                        "insecure",
                                        "key",
                                        "labels_per_minute",
                                        "listen",
                                        "logs",
                                        "metrics_listen",
                                        "never_answer_share",
                                        "answer_twice_share",
                                        "otlp_endpoint",
                                        "port",
                                        "public_url",
                                        "run",
                                        "seed",
                                        "teacher",
                                        "threads",
                                        "tls_ca",
                                        "tls_certificate",
                                        "tls_key",
                                        "token_file",
                                        "tokens",
                                        "train",
                                        "web",
                                        "worker_authority"};

struct Rule {
  std::string allowed;
  std::function<bool()> check;
};

// Used by static objects of other files, hence made by whoever comes first.
std::map<std::string, Rule>& Rules() {
  static auto* const rules = new std::map<std::string, Rule>;
  return *rules;
}
std::vector<absl::Status (*)()>& Checks() {
  static auto* const checks = new std::vector<absl::Status (*)()>;
  return *checks;
}

// Ours, by name: libraries have flags, too.
std::map<std::string, absl::CommandLineFlag*> OwnFlags() {
  std::map<std::string, absl::CommandLineFlag*> flags;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    for (const absl::string_view folder : {"common/", "services/", "tools/", "tests/"}) {
      if (absl::StartsWith(flag->Filename(), folder)) flags.emplace(name, flag);
    }
  }
  return flags;
}

std::vector<std::string> NamesOf(const std::map<std::string, absl::CommandLineFlag*>& flags) {
  std::vector<std::string> names;
  for (const auto& [name, flag] : flags) names.push_back(name);
  return names;
}

std::string DidYouMean(absl::string_view prefix, absl::string_view typed,
                       const std::vector<std::string>& names) {
  const std::string nearest = Nearest(typed, names);
  return nearest.empty() ? "; " : absl::StrCat("; did you mean ", prefix, nearest, "? ");
}

absl::Status Set(absl::CommandLineFlag& flag, absl::string_view called, absl::string_view value) {
  std::string error;
  if (flag.ParseFrom(value, &error)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(called, " is '", WithoutPasswords(value), "', which is no value of it",
                   error.empty() ? "" : ": ", error, "; --help lists what it takes"));
}

// Of the four that every program has; null: another name.
bool* CommonFlag(ParsedFlags& parsed, absl::string_view name) {
  if (name == "help" || name == "h") return &parsed.help;
  if (name == "version") return &parsed.version;
  if (name == "print_config") return &parsed.print_config;
  if (name == "check_config") return &parsed.check_config;
  return nullptr;
}

}  // namespace

FlagRule::FlagRule(absl::string_view name, std::string allowed, std::function<bool()> check) {
  Rules().emplace(name, Rule{std::move(allowed), std::move(check)});
}

ConfigCheck::ConfigCheck(absl::Status (*check)()) { Checks().push_back(check); }

bool IsHostAndPort(absl::string_view text) {
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  return colon != absl::string_view::npos && colon > 0 &&
         absl::SimpleAtoi(text.substr(colon + 1), &port) && port <= 65535;
}

bool IsAddress(absl::string_view text) {
  return absl::ConsumePrefix(&text, "unix:") ? !text.empty() : IsHostAndPort(text);
}

std::string VariableOf(absl::string_view flag) {
  return absl::StrCat(kPrefix, absl::StrReplaceAll(absl::AsciiStrToUpper(flag), {{"-", "_"}}));
}

absl::StatusOr<std::map<std::string, std::string>> FlagsOfEnvironment(
    const std::vector<std::string>& own, const char* const* environment) {
  std::map<std::string, std::string> variables;
  for (const std::string& flag : own) variables[VariableOf(flag)] = flag;
  std::map<std::string, std::string> values;
  for (; *environment != nullptr; ++environment) {
    const absl::string_view entry = *environment;
    if (!absl::StartsWith(entry, kPrefix)) continue;
    const std::string name(entry.substr(0, entry.find('=')));
    const auto found = variables.find(name);
    if (found != variables.end()) {
      values[found->second] = std::string(entry.substr(name.size() + 1));
      continue;
    }
    const auto is = [&](absl::string_view known) { return name == VariableOf(known); };
    if (std::any_of(std::begin(kKnown), std::end(kKnown), is)) continue;
    std::vector<std::string> names;
    for (const auto& [variable, flag] : variables) names.push_back(variable);
    for (const absl::string_view known : kKnown) names.push_back(VariableOf(known));
    return absl::InvalidArgumentError(
        absl::StrCat("the environment has ", name, ", which no program of Backflip knows",
                     DidYouMean("", name, names), "unset it, or see --help for the names"));
  }
  return values;
}

std::string WithoutPasswords(absl::string_view text) {
  std::string result(text);
  const auto hide = [&](size_t begin, size_t end) { result.replace(begin, end - begin, "***"); };
  if (const size_t at = result.find('@'), scheme = result.find("://");
      at != std::string::npos && scheme != std::string::npos) {
    const size_t colon = result.find(':', scheme + 3);
    if (colon < at) hide(colon + 1, result.rfind('@', result.find('/', scheme + 3)));
  }
  if (const size_t word = result.find("password="); word != std::string::npos) {
    hide(word + 9, std::min(result.size(), result.find_first_of("& ", word)));
  }
  return result;
}

absl::StatusOr<ParsedFlags> ParseFlags(const std::vector<absl::string_view>& arguments,
                                       const char* const* environment) {
  ParsedFlags parsed;
  const std::map<std::string, absl::CommandLineFlag*> flags = OwnFlags();
  const std::vector<std::string> names = NamesOf(flags);
  ASSIGN_OR_RETURN(const auto variables, FlagsOfEnvironment(names, environment));
  for (const auto& [name, value] : variables) {
    RETURN_IF_ERROR(Set(*flags.at(name), VariableOf(name), value));
    parsed.sources[name] = VariableOf(name);
  }
  bool flags_end = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    absl::string_view argument = arguments[i];
    if (flags_end || argument.size() < 2 || argument[0] != '-') {
      parsed.words.push_back(argument);
      continue;
    }
    flags_end = argument == "--";
    if (flags_end) continue;
    argument.remove_prefix(argument[1] == '-' ? 2 : 1);
    const size_t equals = argument.find('=');
    std::string name = absl::StrReplaceAll(argument.substr(0, equals), {{"-", "_"}});
    if (bool* const common = CommonFlag(parsed, name); common != nullptr) {
      *common = true;
      continue;
    }
    auto flag = flags.find(name);
    const bool negated = flag == flags.end() && absl::StartsWith(name, "no");
    if (negated) flag = flags.find(name.substr(2));
    if (flag == flags.end() || (negated && !flag->second->IsOfType<bool>())) {
      return absl::InvalidArgumentError(absl::StrCat(
          "there is no --", name, DidYouMean("--", name, names), "--help lists what there is"));
    }
    absl::string_view value = negated ? "false" : "true";
    if (equals != absl::string_view::npos) {
      value = argument.substr(equals + 1);
    } else if (!flag->second->IsOfType<bool>()) {
      if (++i == arguments.size()) {
        return absl::InvalidArgumentError(absl::StrCat("--", name, " has no value"));
      }
      value = arguments[i];
    }
    RETURN_IF_ERROR(Set(*flag->second, absl::StrCat("--", name), value));
    parsed.sources[flag->first] = "command line";
  }
  return parsed;
}

std::vector<std::string> BrokenRules() {
  std::vector<std::string> broken;
  const auto flags = OwnFlags();
  for (const auto& [name, rule] : Rules()) {
    if (rule.check()) continue;
    broken.push_back(
        absl::StrCat("--", name, " is '", WithoutPasswords(flags.at(name)->CurrentValue()),
                     "'; it must be ", rule.allowed, " (or set ", VariableOf(name), ")"));
  }
  // what flags are together is of no use where one is wrong
  if (!broken.empty()) return broken;
  for (const auto check : Checks()) {
    if (const absl::Status status = check(); !status.ok()) broken.emplace_back(status.message());
  }
  return broken;
}

std::string FlagsHelp() {
  std::string text = "Flags, each with the variable that stands for it in the environment:\n";
  for (const auto& [name, flag] : OwnFlags()) {
    const auto rule = Rules().find(name);
    const std::string initial = flag->DefaultValue();
    absl::StrAppend(&text, "\n  --", name, "  ", VariableOf(name), "\n      ",
                    absl::StripSuffix(flag->Help(), "."), ".",
                    rule == Rules().end() ? "" : absl::StrCat(" ", rule->second.allowed, "."),
                    initial.empty() ? "" : absl::StrCat(" Default: ", initial), "\n");
  }
  return text +
         "\n  --print_config  print every flag's value and where it comes from, and end\n"
         "  --check_config  check values and the files that they name, and end: 0, or 2 and what "
         "is "
         "wrong\n"
         "  --version       print this program's version and those of its parts\n";
}

std::string ConfigText(const std::map<std::string, std::string>& sources) {
  std::string text;
  for (const auto& [name, flag] : OwnFlags()) {
    const auto source = sources.find(name);
    absl::StrAppendFormat(&text, "%-60s  # %s\n",
                          absl::StrCat("--", name, "=", WithoutPasswords(flag->CurrentValue())),
                          source == sources.end() ? "default" : source->second);
  }
  return text;
}

}  // namespace backflip::base
