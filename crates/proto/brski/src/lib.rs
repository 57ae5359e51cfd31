//! BRSKI and EST: vouchers, messages, and the rules of pledge, registrar and MASA.
