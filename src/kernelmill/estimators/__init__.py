"""scikit-learn style estimators (kernel methods)."""
