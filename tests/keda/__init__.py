"""The scaler, asked by KEDA's own client."""
