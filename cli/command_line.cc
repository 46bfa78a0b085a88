#include "cli/command_line.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/base/flags.h"
#include "common/base/nearest.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

absl::Status NoSuchCommand(const std::vector<Command>& commands,
                           const std::vector<std::string>& words) {
  if (words.empty()) {
    return absl::InvalidArgumentError("no command was given; `backflip help` lists them");
  }
  // first words of all commands, and second words of those that begin with what was typed
  std::vector<std::string> firsts, seconds;
  for (const Command& command : commands) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(command.Name(), absl::MaxSplits(' ', 1));
    firsts.push_back(parts.first);
    if (parts.first == words[0]) seconds.push_back(parts.second);
  }
  std::string typed = words[0], nearest;
  if (seconds.empty()) {
    nearest = base::Nearest(words[0], firsts);
  } else if (words.size() > 1) {
    nearest = base::Nearest(words[1], seconds);
    if (!nearest.empty()) nearest = absl::StrCat(words[0], " ", nearest);
    absl::StrAppend(&typed, " ", words[1]);
  }
  if (!seconds.empty() && nearest.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("say which: backflip ", words[0], " ",
                                                   absl::StrJoin(seconds, ", "), "; `backflip ",
                                                   words[0], " --help` explains them"));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "there is no command '", typed, "'",
      nearest.empty() ? "; " : absl::StrCat("; did you mean `backflip ", nearest, "`? "),
      "`backflip help` lists them"));
}

absl::Status NoSuchFlag(const std::string& typed, const Command* command,
                        const std::vector<Flag>& flags) {
  if (command == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", typed, " stands before a command, whose flags come after its name"));
  }
  std::vector<std::string> names;
  for (const Flag& flag : flags) names.push_back(flag.name);
  const std::string nearest = base::Nearest(typed, names);
  return absl::InvalidArgumentError(
      absl::StrCat("`backflip ", command->Name(), "` takes no --", typed,
                   nearest.empty() ? "; " : absl::StrCat("; did you mean --", nearest, "? "),
                   "`backflip ", command->Name(), " --help` lists what it takes"));
}

// The command whose name is the first or the first two words, the longer name first; null: none.
const Command* FindCommand(const std::vector<Command>& commands,
                           const std::vector<std::string>& words) {
  for (size_t count = std::min<size_t>(2, words.size()); count > 0; --count) {
    const std::string name = absl::StrJoin(words.begin(), words.begin() + count, " ");
    for (const Command& command : commands) {
      if (command.Name() == name) return &command;
    }
  }
  return nullptr;
}

absl::Status SetFlag(const Flag& flag, const std::optional<std::string>& value) {
  if (!value.has_value() && flag.takes_value() && !flag.value_may_be_left_out()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag.name, " has no value: ", flag.Text()));
  }
  if (flag.set(value.value_or(flag.takes_value() ? "0" : "true"))) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag.name, " is '", *value, "'; it must be ", flag.allowed));
}

absl::Status CheckComplete(const Command& command, size_t words,
                           const std::set<std::string>& given) {
  // name and arguments
  const std::vector<absl::string_view> forms = absl::StrSplit(command.form, ' ');
  const size_t optional = std::count_if(forms.begin(), forms.end(),
                                        [](absl::string_view form) { return form[0] == '['; });
  if (words + optional < forms.size() || words > forms.size()) {
    return absl::InvalidArgumentError(absl::StrCat("usage: backflip ", command.Usage()));
  }
  for (const Flag& flag : command.flags) {
    if (!flag.required || given.count(flag.name) > 0) continue;
    return absl::InvalidArgumentError(absl::StrCat(flag.Text(), " is missing: ", flag.help));
  }
  return absl::OkStatus();
}

bool IsNumber(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(
    const std::vector<Command>& commands, const std::vector<std::string>& arguments,
    const std::map<std::string, std::string>& environment) {
  CommandLine line;
  const std::vector<Flag> stack_flags = line.call.stack.Flags();
  std::vector<Flag> flags = stack_flags;
  std::vector<std::string>& words = line.call.words;
  std::set<std::string> given;
  bool help = false, flags_end = false;
  absl::Status error;
  for (const Flag& flag : stack_flags) {
    const auto value = environment.find(flag.name);
    if (value == environment.end() || flag.set(value->second)) continue;
    error.Update(absl::InvalidArgumentError(absl::StrCat(
        base::VariableOf(flag.name), " is '", value->second, "'; it must be ", flag.allowed)));
  }
  for (size_t i = 0; i < arguments.size(); ++i) {
    absl::string_view argument = arguments[i];
    if (flags_end || argument.size() < 2 || argument[0] != '-') {
      words.push_back(arguments[i]);
      line.command = FindCommand(commands, words);
      if (line.command != nullptr) {
        flags = line.command->flags;
        if (line.command->takes_stack)
          flags.insert(flags.end(), stack_flags.begin(), stack_flags.end());
      }
      continue;
    }
    flags_end = argument == "--";
    if (flags_end) continue;
    argument.remove_prefix(argument[1] == '-' ? 2 : 1);
    const size_t equals = argument.find('=');
    const std::string name = absl::StrReplaceAll(argument.substr(0, equals), {{"_", "-"}});
    if (name == "help" || name == "h") {
      help = true;
      continue;
    }
    const auto flag =
        std::find_if(flags.begin(), flags.end(), [&](const Flag& f) { return f.name == name; });
    if (flag == flags.end()) {
      // what is no command is said rather than that it does not take the flag
      if (line.command != nullptr || words.empty()) {
        error.Update(NoSuchFlag(name, line.command, flags));
      }
      continue;
    }
    std::optional<std::string> value;
    if (equals != absl::string_view::npos) {
      value = std::string(argument.substr(equals + 1));
    } else if (flag->takes_value() && i + 1 < arguments.size() &&
               (!flag->value_may_be_left_out() || IsNumber(arguments[i + 1]))) {
      value = arguments[++i];
    }
    error.Update(SetFlag(*flag, value));
    if (value != "") given.insert(name);
  }
  if (help || (line.command == nullptr && !words.empty() && words[0] == "help")) {
    if (!words.empty() && words[0] == "help") words.erase(words.begin());
    line.command = nullptr;
    return line;
  }
  RETURN_IF_ERROR(error);
  if (line.command == nullptr) return NoSuchCommand(commands, words);
  for (const Flag& flag : stack_flags) {
    if (line.command->takes_stack || given.count(flag.name) == 0) continue;
    return NoSuchFlag(flag.name, line.command, line.command->flags);
  }
  RETURN_IF_ERROR(CheckComplete(*line.command, words.size(), given));
  words.erase(words.begin(), words.begin() + 1 + absl::StrContains(line.command->Name(), ' '));
  return line;
}

}  // namespace backflip::cli
