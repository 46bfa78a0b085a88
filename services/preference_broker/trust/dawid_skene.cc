#include "services/preference_broker/trust/dawid_skene.h"

#include <algorithm>
#include <cmath>

namespace backflip::trust {
namespace {

// Least probability, also of what no vote supports, so that logarithms are finite.
constexpr double kNever = 1e-10;

using Matrix = std::vector<std::vector<double>>;

// Makes a distribution of expected counts; uniform where they are all 0.
void Normalize(std::vector<double>* row) {
  double sum = 0;
  for (double& value : *row) sum += value = std::max(value, kNever);
  for (double& value : *row) value /= sum;
}

}  // namespace

double DawidSkene::Accuracy(int labeler) const {
  double accuracy = 0;
  for (size_t k = 0; k < prior.size(); ++k) accuracy += prior[k] * confusion[labeler][k][k];
  return accuracy;
}

DawidSkene FitDawidSkene(const std::vector<Vote>& votes, int items, int labelers, int values,
                         const DawidSkeneOptions& options) {
  DawidSkene fit;
  fit.truth.assign(items, std::vector<double>(values));
  std::vector<bool> voted(items);
  for (const Vote& vote : votes) {
    ++fit.truth[vote.item][vote.value];
    voted[vote.item] = true;
  }
  for (int item = 0; item < items; ++item) {
    if (!voted[item]) continue;
    double given = 0;
    for (const double count : fit.truth[item]) given += count;
    for (double& share : fit.truth[item]) share /= given;
  }

  const auto maximize = [&] {
    fit.prior.assign(values, 0);
    for (int item = 0; item < items; ++item) {
      for (int k = 0; voted[item] && k < values; ++k) fit.prior[k] += fit.truth[item][k];
    }
    Normalize(&fit.prior);
    fit.confusion.assign(labelers, Matrix(values, std::vector<double>(values, options.smoothing)));
    for (const Vote& vote : votes) {
      for (int k = 0; k < values; ++k) {
        fit.confusion[vote.labeler][k][vote.value] += fit.truth[vote.item][k];
      }
    }
    for (Matrix& matrix : fit.confusion) {
      for (std::vector<double>& row : matrix) Normalize(&row);
    }
  };

  maximize();
  Matrix truth(items, std::vector<double>(values));
  // [labelers][true value][given value]: there are few of them and many votes
  std::vector<Matrix> log_confusion(labelers, Matrix(values, std::vector<double>(values)));
  double moved = 1;
  while (fit.iterations < options.max_iterations && moved > options.tolerance) {
    ++fit.iterations;
    // in logarithms: a product of many votes is too small for a double
    std::vector<double> log_prior(values);
    for (int k = 0; k < values; ++k) log_prior[k] = std::log(fit.prior[k]);
    for (int labeler = 0; labeler < labelers; ++labeler) {
      for (int k = 0; k < values; ++k) {
        for (int given = 0; given < values; ++given) {
          log_confusion[labeler][k][given] = std::log(fit.confusion[labeler][k][given]);
        }
      }
    }
    for (std::vector<double>& item : truth) item = log_prior;
    for (const Vote& vote : votes) {
      for (int k = 0; k < values; ++k)
        truth[vote.item][k] += log_confusion[vote.labeler][k][vote.value];
    }
    moved = 0;
    for (int item = 0; item < items; ++item) {
      const double most = *std::max_element(truth[item].begin(), truth[item].end());
      double sum = 0;
      for (double& value : truth[item]) sum += value = std::exp(value - most);
      for (int k = 0; k < values; ++k) {
        truth[item][k] /= sum;
        if (voted[item]) moved = std::max(moved, std::abs(truth[item][k] - fit.truth[item][k]));
      }
    }
    fit.truth.swap(truth);
    maximize();
  }
  return fit;
}

}  // namespace backflip::trust
