#include "cli/output/help.h"

#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace backflip::cli {
namespace {

constexpr size_t kColumns = 100;
constexpr size_t kNameColumns = 22;

std::string FirstWord(absl::string_view text) {
  return std::string(text.substr(0, text.find(' ')));
}

// Words in lines after a name.
std::string Entry(const std::string& name, absl::string_view description) {
  std::string text = absl::StrFormat("  %-*s", kNameColumns - 3, name);
  size_t column = name.size() < kNameColumns - 2 ? kNameColumns - 1 : kColumns;
  for (const absl::string_view word : absl::StrSplit(description, ' ', absl::SkipEmpty())) {
    if (column + 1 + word.size() > kColumns) {
      absl::StrAppend(&text, "\n", std::string(kNameColumns - 1, ' '));
      column = kNameColumns - 1;
    }
    absl::StrAppend(&text, " ", word);
    column += 1 + word.size();
  }
  return absl::StrCat(text, "\n");
}

// Whether the command takes a flag; then what there is to say of it there.
bool Takes(const std::set<std::string>& commands, absl::string_view command,
           absl::string_view* description) {
  const size_t colon = description->find(": ");
  const absl::string_view whose = description->substr(0, colon);
  if (colon == absl::string_view::npos ||
      commands.count(FirstWord(whose.substr(0, whose.find(',')))) == 0) {
    return true;
  }
  bool takes = false, alone = true;
  for (const absl::string_view one : absl::StrSplit(whose, ", ")) {
    takes |= FirstWord(one) == command;
    alone &= one.find(' ') == absl::string_view::npos && commands.count(std::string(one)) > 0;
  }
  // names of commands tell nothing here, but "train --human" does
  if (alone) description->remove_prefix(colon + 2);
  return takes;
}

}  // namespace

std::string HelpText(absl::string_view usage, const std::map<std::string, std::string>& flags,
                     absl::string_view command) {
  std::set<std::string> commands;
  std::string text;
  for (absl::string_view line : absl::StrSplit(usage, '\n')) {
    if (!absl::StartsWith(line, "  ")) continue;
    commands.insert(FirstWord(line.substr(2)));
    if (FirstWord(line.substr(2)) == command)
      absl::StrAppend(&text, "backflip ", line.substr(2), "\n");
  }
  if (text.empty()) return std::string(usage);
  absl::StrAppend(&text, "\n");
  for (const auto& [name, help] : flags) {
    absl::string_view description = help;
    if (!Takes(commands, command, &description)) continue;
    absl::StrAppend(
        &text, Entry(absl::StrCat("--", absl::StrReplaceAll(name, {{"_", "-"}})), description));
  }
  return text;
}

}  // namespace backflip::cli
