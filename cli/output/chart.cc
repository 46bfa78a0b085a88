#include "cli/output/chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "cli/launcher/subprocess.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;

// More points than this do not show in a picture.
constexpr size_t kPointsPerLine = 400;
// Told apart by most of those who see few colours (Okabe and Ito, 2008).
constexpr std::array<const char*, 8> kColours = {"#3366aa", "#d55e00", "#009e73", "#cc79a7",
                                                 "#e69f00", "#56b4e9", "#000000", "#999999"};

// 1, 2 or 5 times a power of ten, at most six of which fit into `range`: more
// labels than that run into each other.
double TickStep(double range) {
  double step = std::pow(10, std::floor(std::log10(range / 6)));
  for (const double factor : {2.0, 2.5, 2.0}) {
    if (range / step <= 6) break;
    step *= factor;
  }
  return step;
}

// In double quotes of gnuplot.
std::string Quoted(const std::string& text) {
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
}

// Keeps the last point, where a run is now.
void AppendData(const Line& line, size_t panel, size_t place, std::string* script) {
  absl::StrAppendFormat(script, "$p%d_%d << EOD\n", panel, place);
  const size_t stride = line.points.size() / kPointsPerLine + 1;
  for (size_t i = 0; i < line.points.size(); ++i) {
    if (i % stride != 0 && i + 1 != line.points.size()) continue;
    const Line::Point& point = line.points[i];
    absl::StrAppendFormat(script, "%.9g %.9g %.9g %.9g\n", point.steps / 1e3, point.value,
                          point.low, point.high);
  }
  absl::StrAppend(script, "EOD\n");
}

void AppendPanel(const Panel& panel, size_t number, std::string* script) {
  std::string bands;
  std::string lines;
  for (size_t i = 0; i < panel.lines.size(); ++i) {
    const Line& line = panel.lines[i];
    AppendData(line, number, i, script);
    const std::string data = absl::StrFormat("$p%d_%d", number, i);
    const char* colour = kColours[i % kColours.size()];
    if (std::any_of(line.points.begin(), line.points.end(),
                    [](const Line::Point& point) { return point.low < point.high; })) {
      absl::StrAppendFormat(&bands,
                            "%s using 1:3:4 with filledcurves fs transparent solid 0.2 lc rgb '%s' "
                            "notitle, ",
                            data, colour);
    }
    absl::StrAppendFormat(
        &lines, "%s%s using 1:2 with linespoints lw 2 pt 7 ps 0.2 lc rgb '%s' title %s noenhanced",
        i == 0 ? "" : ", ", data, colour, Quoted(line.title));
  }
  absl::StrAppendFormat(script, "set title %s noenhanced\n%s\nplot %s%s\n", Quoted(panel.title),
                        panel.lines.front().title.empty() ? "unset key" : "set key left top", bands,
                        lines);
}

std::string Script(const std::string& title, const std::vector<Panel>& panels,
                   const std::string& path) {
  double last_step = 1;
  for (const Panel& panel : panels) {
    for (const Line& line : panel.lines) {
      last_step = std::max(last_step, line.points.back().steps);
    }
  }
  const int columns = panels.size() > 1 ? 2 : 1;
  const int rows = (panels.size() + columns - 1) / columns;
  std::string script = absl::StrFormat(
      "set terminal svg size %d,%d dynamic background rgb 'white' font 'sans-serif,12'\n"
      "set output %s\n"
      "set multiplot layout %d,%d title %s noenhanced\n"
      "set grid lc rgb '#dddddd'\n"
      "set border 3\n"
      "set tics nomirror\n"
      "set xlabel 'steps (thousands)'\n"
      "set xrange [0:%.9g]\n"
      "set xtics %.9g\n",
      450 * columns, 40 + 230 * rows, Quoted(path), rows, columns, Quoted(title), last_step / 1e3,
      TickStep(last_step / 1e3));
  for (size_t i = 0; i < panels.size(); ++i) AppendPanel(panels[i], i, &script);
  return script + "unset multiplot\n";
}

}  // namespace

absl::Status WriteFile(const std::string& path, const std::string& content) {
  const std::string half_made = path + ".new";
  std::ofstream file(half_made, std::ios::binary);
  file << content;
  file.close();
  std::error_code error;
  if (file) fs::rename(half_made, path, error);
  if (!file || error) {
    fs::remove(half_made, error);
    return absl::FailedPreconditionError(absl::StrCat("cannot write ", path));
  }
  return absl::OkStatus();
}

absl::Status DrawChart(const std::string& title, const std::vector<Panel>& panels,
                       const std::string& path) {
  const std::string script_path = path + ".gnuplot";
  RETURN_IF_ERROR(WriteFile(script_path, Script(title, panels, path)));
  const absl::StatusOr<std::string> drawn = Run({.argv = {"gnuplot", script_path}});
  std::error_code ignored;
  fs::remove(script_path, ignored);
  if (drawn.ok()) return absl::OkStatus();
  fs::remove(path, ignored);
  return absl::UnavailableError(
      absl::StrCat("the chart could not be drawn (is the package gnuplot-nox installed?): ",
                   drawn.status().message()));
}

}  // namespace backflip::cli
