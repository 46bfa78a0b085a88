// Charts of series over steps, drawn by gnuplot.
#ifndef BACKFLIP_CLI_OUTPUT_CHART_H_
#define BACKFLIP_CLI_OUTPUT_CHART_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace backflip::cli {

struct Line {
  struct Point {
    double steps;
    double value;
    // A band around the line; both are `value` where there is none.
    double low;
    double high;
  };
  // In the key; empty: the panel has no key.
  std::string title;
  // By steps, at least one.
  std::vector<Point> points;
};

struct Panel {
  std::string title;
  // At least one.
  std::vector<Line> lines;
};

// Draws at least one panel, two in a row, over the same steps, into the SVG file `path`.
// UNAVAILABLE where gnuplot is missing or fails.
absl::Status DrawChart(const std::string& title, const std::vector<Panel>& panels,
                       const std::string& path);

// The whole file or nothing of it.
absl::Status WriteFile(const std::string& path, const std::string& content);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_OUTPUT_CHART_H_
